import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../../gateway/connector/connector.ts";
import { packetIdOf, packetType } from "../../../support/raw-mqtt.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { config, connected, settled, startBroker, topic } from "./harness.ts";

const everything = config.users.map((user) => ({ ...user, publish: ["floor/#", "chat/#"], subscribe: ["#"] }));

describe("a subscriber of the embedded broker that does not read", () => {
  it("is disconnected, and holds up no delivery to anybody else", async () => {
    await using broker = await startBroker(undefined, { users: everything });
    await using dash = await connected(broker.port, { clientId: "dash" });
    dash.subscribe("orders/#", 1, 3);
    await dash.received(packetType.suback);
    await using stuck = await connected(broker.port, { clientId: "stuck" });
    stuck.subscribe("floor/#", 0, 3);
    await stuck.received(packetType.suback);
    stuck.pause();
    await using device = await connected(broker.port, { clientId: "d1", username: "device", password: "sesame" });
    const payload = "x".repeat(100_000);
    for (let n = 1; n <= 400; n++) {
      device.publish(topic, payload, { qos: 1, packetId: n });
      await device.received(packetType.puback, n);
    }
    const begin = performance.now();
    const order = {
      kind: "topic",
      topic: "orders/1",
      body: Buffer.from("o"),
      qos: 1,
      retain: false,
      key: "1",
      attempt: 1,
    } as const;
    const delivery = broker.connector.deliver(
      { ...order, event: { id: "m1" } as Outbound["event"] },
      new AbortController().signal,
    );
    dash.puback(packetIdOf(await dash.received(packetType.publish)));
    expect(await delivery).toMatchObject({ kind: "done" });
    // not at the end of the time that the stuck one has
    expect(performance.now() - begin).toBeLessThan(20_000);
    stuck.resume();
    await stuck.ended();
  });
});

describe("a topic that no flow takes", () => {
  it("is the gateway's to judge while nobody who is connected has subscribed to it, whoever may (P1, P2)", async () => {
    await using broker = await startBroker(undefined, { users: everything });
    await using client = await connected(broker.port);
    client.publish("floor/l1/finishd", "a typing error", { qos: 1, packetId: 9 });
    await client.received(packetType.puback, 9);
    expect(broker.inlet.bodies).toEqual(["a typing error"]);
  });

  it("is traffic between devices while a client that is connected has subscribed to it", async () => {
    await using broker = await startBroker(undefined, { users: everything });
    await using client = await connected(broker.port);
    await using listener = await connected(broker.port, { clientId: "t2", clean: false });
    listener.subscribe("floor/#", 1);
    await listener.received(packetType.suback);
    client.publish("floor/l1/finishd", "heard", { qos: 1, packetId: 9 });
    await client.received(packetType.puback, 9);
    await listener.received(packetType.publish);
    expect(broker.inlet.bodies).toEqual([]);
    await listener.cut();
    await settled(client);
    client.publish("floor/l1/finishd", "unheard", { qos: 1, packetId: 10 });
    await client.received(packetType.puback, 10);
    expect(broker.inlet.bodies).toEqual(["unheard"]);
  });

  it("flows between devices however much of it comes at once", async () => {
    await using broker = await startBroker();
    await using listener = await connected(broker.port, { clientId: "t2" });
    listener.subscribe("chat/#", 0);
    await listener.received(packetType.suback);
    await using client = await connected(broker.port);
    const payload = "x".repeat(10_000);
    for (let n = 1; n <= 400; n++) client.publish("chat/x", payload, { qos: 1, packetId: n });
    await client.received(packetType.puback, 400);
    await settled(listener);
    expect(listener.packets.filter(({ type }) => type === packetType.publish)).toHaveLength(400);
  });

  it("is traffic between devices also while nobody listens, where the configuration says so", async () => {
    const inlet = new RecordingInlet();
    await using broker = await startBroker(inlet, { users: everything, relay: ["chat/#"] });
    await using client = await connected(broker.port);
    client.publish("chat/hello", "hi", { qos: 1, packetId: 9 });
    client.publish(topic, "an order", { qos: 1, packetId: 10 });
    await client.received(packetType.puback, 10);
    expect(inlet.bodies).toEqual(["an order"]);
  });
});
