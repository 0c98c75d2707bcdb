import type { ConnectorKind } from "../connector.ts";
import { MqttConnector } from "./connector.ts";

/** Client of the plant's own broker, MQTT 5 or 3.1.1. */
export const mqttKind: ConnectorKind<"mqtt"> = { kind: "mqtt", create: (deps) => new MqttConnector(deps) };
