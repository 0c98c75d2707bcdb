import type { ConnectorKind } from "../connector.ts";
import { MqttBrokerConnector } from "./connector.ts";

/** A broker inside the gateway, MQTT 3.1.1. */
export const mqttBrokerKind: ConnectorKind<"mqtt-broker"> = {
  kind: "mqtt-broker",
  create: (deps) => new MqttBrokerConnector(deps),
};
