import { connectAsync, type MqttClient } from "mqtt";
import { afterEach } from "vitest";
import type { Connector, Outbound, Wiring } from "../../../../gateway/connector/connector.ts";
import { mqttKind } from "../../../../gateway/connector/mqtt/kind.ts";
import { type Clock, type MqttConnectorConfig, systemClock } from "../../../../protocol/index.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { type MosquittoOptions, startMosquitto } from "../../../support/mosquitto.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { requireService } from "../../../support/services.ts";

export const missing = !(await requireService("mosquitto"));
export const picks = { topics: [{ topic: "wms/picks/+/confirmed", retained: "skip" as const }], answers: ["wms/orders/+/ack"] };
export const never = new AbortController().signal;
export const toStop: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of toStop.splice(0).reverse()) await part.stop();
});

/** A stop waits for so much longer as this machine may be slower. */
export const patient: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms * 40, signal) };

export async function startConnector(
  url: string,
  options: {
    inlet?: RecordingInlet;
    config?: Partial<MqttConnectorConfig>;
    wiring?: Partial<Wiring>;
    folder?: string;
    secrets?: Record<string, string>;
    clock?: Clock;
  } = {},
): Promise<{ inlet: RecordingInlet; connector: Connector; folder: string }> {
  const inlet = options.inlet ?? new RecordingInlet();
  let folder = options.folder;
  if (folder === undefined) {
    const own = temporaryFolder();
    toStop.push({ stop: async () => own[Symbol.dispose]() });
    folder = own.path;
  }
  const grants = { subscribe: ["wms/#"], publish: ["wms/orders/+"] };
  const config: MqttConnectorConfig = {
    type: "mqtt",
    url,
    version: "5",
    keepAlive: "15s",
    sessionExpiry: "7d",
    grants,
    ...options.config,
  };
  const connector = mqttKind.create(
    connectorDeps({
      name: "wms",
      config,
      inlet,
      wiring: options.wiring ?? picks,
      folder,
      secrets: options.secrets,
      clock: options.clock,
    }),
  );
  await connector.start(new AbortController().signal);
  toStop.push(connector);
  return { inlet, connector, folder };
}

export async function up(connector: Connector): Promise<void> {
  await until(
    () => connector.report(),
    ({ state }) => state === "up",
  );
}

export async function peer(url: string, options: Parameters<typeof connectAsync>[1] = {}): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options });
  toStop.push({ stop: () => client.endAsync(true) });
  return client;
}

export async function broker(options: MosquittoOptions = {}) {
  const mosquitto = await startMosquitto(options);
  toStop.push({ stop: () => mosquitto[Symbol.asyncDispose]() });
  return mosquitto;
}

export const order = (options: Partial<Extract<Outbound, { kind: "topic" }>> = {}): Outbound => ({
  kind: "topic",
  topic: "wms/orders/hq-mo-42",
  body: Buffer.from("release"),
  qos: 1,
  retain: false,
  event: { id: "m1" } as Outbound["event"],
  key: "hq-mo-42",
  attempt: 1,
  ...options,
});
export const pick = "wms/picks/PK-7/confirmed";
