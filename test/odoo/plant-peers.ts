import { connectAsync, type MqttClient } from "mqtt";
import { type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

/** What a plant's systems put on the wire, in the order in which its broker or gateway acknowledged it. */
export interface Said {
  readonly topic: string;
  readonly payload: string;
}

/** An order as the warehouse got it, with the bytes it came in. */
export interface Heard extends Said {
  readonly order: string;
}

/** A plant's warehouse system on a real Mosquitto, and the terminals that speak to the gateway's own broker. */
export interface PlantPeers extends AsyncDisposable {
  readonly brokerUrl: string;
  readonly secrets: Readonly<Record<string, string>>;
  /** All that came in on `wms/orders/+`, repeats too; each is accepted. */
  readonly heard: readonly Heard[];
  readonly said: readonly Said[];
  /** Resolves when the plant's broker has it. */
  fromWarehouse(topic: string, payload: string): Promise<void>;
  /** Resolves when the gateway acknowledged it: good pieces at QoS 2, scrap at QoS 1, as terminals do. */
  fromTerminal(topic: string, payload: string): Promise<void>;
  /** The gateway's broker listens: the terminals log on. */
  connectTerminals(floorUrl: string): Promise<void>;
}

export async function startPlantPeers(site: string): Promise<PlantPeers> {
  const secrets = {
    wms: `${site}-gateway-password`,
    terminal: `${site}-terminal-password`,
    devices: `${site}-devices-password`,
    scheduler: `${site}-scheduler-token`,
  };
  await using stack = new AsyncDisposableStack();
  const broker: Mosquitto = stack.use(await startMosquitto({ users: { gateway: secrets.wms, warehouse: "warehouse-password" } }));
  const wms = stack.adopt(
    await connectAsync(broker.url, { clientId: "warehouse", username: "warehouse", password: "warehouse-password" }),
    (client) => client.endAsync(true),
  );
  const heard: Heard[] = [];
  const said: Said[] = [];
  wms.on("message", (topic, bytes) => {
    const payload = bytes.toString();
    const { order, revision } = JSON.parse(payload) as { order: string; revision: number };
    heard.push({ topic, payload, order });
    wms.publish(`${topic}/ack`, JSON.stringify({ order, revision, accepted: true }), { qos: 1 });
  });
  await wms.subscribeAsync("wms/orders/+", { qos: 1 });
  let terminal: MqttClient | undefined;
  stack.defer(async () => terminal?.endAsync(true));
  const owned = stack.move();
  return {
    brokerUrl: broker.url,
    secrets,
    heard,
    said,
    async fromWarehouse(topic, payload) {
      await wms.publishAsync(topic, payload, { qos: 1 });
      said.push({ topic, payload });
    },
    async fromTerminal(topic, payload) {
      if (!terminal) throw new Error("the terminals are not connected");
      await terminal.publishAsync(topic, payload, { qos: topic.endsWith("/finished") ? 2 : 1 });
      said.push({ topic, payload });
    },
    async connectTerminals(floorUrl) {
      terminal = await connectAsync(floorUrl, {
        clientId: "terminal-LINE-1",
        username: "terminal",
        password: secrets.terminal,
        protocolVersion: 4,
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
