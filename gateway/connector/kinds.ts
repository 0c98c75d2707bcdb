import type { ConnectorKindName } from "../../protocol/index.ts";
import type { AnyConnectorKind } from "./connector.ts";

/** How each kind of connector is loaded: with the first connector of a configuration that is one. The largest takes 90 MB by itself. */
export type ConnectorKinds = Readonly<Record<ConnectorKindName, () => Promise<AnyConnectorKind>>>;

export const connectorKinds: ConnectorKinds = {
  mqtt: async () => (await import("./mqtt/kind.ts")).mqttKind as AnyConnectorKind,
  "mqtt-broker": async () => (await import("./mqtt-broker/kind.ts")).mqttBrokerKind as AnyConnectorKind,
  http: async () => (await import("./http/kind.ts")).httpKind as AnyConnectorKind,
  opcua: async () => (await import("./opcua/kind.ts")).opcuaKind as AnyConnectorKind,
  odoo: async () => (await import("./odoo/kind.ts")).odooKind as AnyConnectorKind,
};
