import { expect } from "vitest";
import { MqttBrokerConnector } from "../../../../gateway/connector/mqtt-broker/connector.ts";
import type { MqttBrokerConnectorConfig } from "../../../../protocol/index.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { until } from "../../../support/process.ts";
import { packetType, RawMqtt } from "../../../support/raw-mqtt.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";

export const config: MqttBrokerConnectorConfig = {
  type: "mqtt-broker",
  host: "127.0.0.1",
  port: 0,
  users: [
    {
      username: "terminal",
      password: { secret: "terminal" },
      publish: ["floor/+/finished", "chat/#"],
      subscribe: ["chat/#", "orders/#"],
    },
    { username: "device", password: { secret: "device" }, publish: ["floor/+/+/sample"], subscribe: [] },
  ],
  relay: [],
  grants: { subscribe: ["floor/#"], publish: ["orders/#"] },
};
export const login = { clientId: "t1", username: "terminal", password: "open" };
export const topic = "floor/l1/finished";

export async function startBroker(inlet = new RecordingInlet(), changes: Partial<MqttBrokerConnectorConfig> = {}) {
  const topics = [
    { topic: "floor/+/finished", retained: "skip" as const },
    { topic: "floor/+/+/sample", retained: "skip" as const },
  ];
  const deps = connectorDeps({
    name: "floor",
    config: { ...config, ...changes },
    inlet,
    wiring: { topics },
    secrets: { terminal: "open", device: "sesame" },
  });
  const connector = new MqttBrokerConnector(deps);
  await connector.start(new AbortController().signal);
  return { inlet, connector, port: connector.port as number, [Symbol.asyncDispose]: () => connector.stop() };
}

export async function connected(port: number, options: Partial<Parameters<typeof RawMqtt.connect>[1]> = {}): Promise<RawMqtt> {
  const client = await RawMqtt.connect(port, { ...login, ...options });
  const connack = await client.received(packetType.connack);
  expect(connack.body[1]).toBe(0);
  return client;
}

/** Passes when everything that the broker would have sent by now has come: a ping is answered after it. */
export async function settled(client: RawMqtt): Promise<void> {
  const before = client.packets.filter(({ type }) => type === packetType.pingresp).length;
  client.send(0xc0, Buffer.alloc(0));
  await until(
    () => client.packets.filter(({ type }) => type === packetType.pingresp).length,
    (count) => count > before,
  );
}
