import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../../gateway/connector/connector.ts";
import { Retained } from "../../../../gateway/connector/mqtt-broker/retained.ts";
import { connectPacket, packetIdOf, packetType, RawMqtt, subscribePacket, topicOf } from "../../../support/raw-mqtt.ts";
import { config, connected, login, settled, startBroker } from "./harness.ts";

const never = new AbortController().signal;
const order = (name: string, options: { qos?: 0 | 1; retain?: boolean; body?: Buffer } = {}): Outbound => ({
  kind: "topic",
  topic: `orders/${name}`,
  body: options.body ?? Buffer.from(name),
  qos: options.qos ?? 1,
  retain: options.retain ?? false,
  event: { id: name } as Outbound["event"],
  key: name,
  attempt: 1,
});
const publishes = (client: RawMqtt) => client.packets.filter(({ type }) => type === packetType.publish);
const subscribed = async (client: RawMqtt, ...filters: string[]): Promise<void> => {
  client.write(subscribePacket(filters, 1, 77));
  await client.received(packetType.suback, 77);
};

describe("a session that a client of the embedded broker keeps", () => {
  it("has what was not acknowledged sent again, marked as such, and never again once it is", async () => {
    await using broker = await startBroker();
    const first = await connected(broker.port, { clean: false });
    await subscribed(first, "orders/#");
    const one = broker.connector.deliver(order("1"), never);
    first.puback(packetIdOf(await first.received(packetType.publish)));
    await one;
    const two = broker.connector.deliver(order("2"), never);
    await first.received(packetType.publish, 2);
    await first.cut();
    expect(await two).toMatchObject({ kind: "unknown" });

    const second = await connected(broker.port, { clean: false });
    const again = await second.received(packetType.publish);
    expect([topicOf(again), packetIdOf(again), again.flags & 8]).toEqual(["orders/2", 2, 8]);
    second.puback(packetIdOf(again));
    await settled(second);
    await second.cut();

    await using third = await connected(broker.port, { clean: false });
    await settled(third);
    expect(publishes(third)).toEqual([]);
  });

  it("gives a new message no packet id that one sent again still has", async () => {
    await using broker = await startBroker();
    const first = await connected(broker.port, { clean: false });
    await subscribed(first, "orders/#");
    const lost = broker.connector.deliver(order("1"), never);
    await first.received(packetType.publish);
    await first.cut();
    await lost;
    await using second = await connected(broker.port, { clean: false });
    const again = await second.received(packetType.publish);
    await settled(second);
    const next = broker.connector.deliver(order("2"), never);
    await second.received(packetType.publish, packetIdOf(again) + 1);
    second.puback(packetIdOf(again) + 1);
    expect(await next).toMatchObject({ kind: "done" });
    expect(publishes(second).map(topicOf)).toEqual(["orders/1", "orders/2"]);
  });

  it("is its user's: another user with the same client id gets nothing of it (P9)", async () => {
    await using broker = await startBroker();
    const first = await connected(broker.port, { clean: false });
    await subscribed(first, "orders/#");
    const lost = broker.connector.deliver(order("1"), never);
    await first.received(packetType.publish);
    await first.cut();
    await lost;
    const stranger = await connected(broker.port, { clean: false, username: "device", password: "sesame" });
    await settled(stranger);
    expect(publishes(stranger)).toEqual([]);
    await stranger.cut();
    await using second = await connected(broker.port, { clean: false });
    expect(topicOf(await second.received(packetType.publish))).toBe("orders/1");
  });

  it("keeps no filter that was not granted, also when others of the same packet were (P9)", async () => {
    const users = config.users.map((user) => (user.username === "device" ? { ...user, subscribe: ["floor/#"] } : user));
    await using broker = await startBroker(undefined, { users });
    const client = await connected(broker.port, { clean: false, clientId: "greedy" });
    await subscribed(client, "chat/#", "#");
    await using other = await connected(broker.port);
    other.publish("floor/l1/finished", "not for you", { qos: 1, packetId: 5 });
    await other.received(packetType.puback, 5);
    await settled(client);
    await client.cut();
    await using again = await connected(broker.port, { clean: false, clientId: "greedy" });
    await settled(again);
    expect(publishes(again)).toEqual([]);
  });

  it("gets each message once, whatever filters of it overlap", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port, { clean: false });
    await subscribed(client, "orders/#", "orders/+", "orders/1");
    const delivery = broker.connector.deliver(order("1"), never);
    client.puback(packetIdOf(await client.received(packetType.publish)));
    expect(await delivery).toMatchObject({ kind: "done" });
    await settled(client);
    expect(publishes(client)).toHaveLength(1);
    expect(client.closed).toBe(false);
  });

  it("gets a delivery also when one at QoS 0 passes it on its way", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port, { clean: false });
    await subscribed(client, "orders/#");
    const slow = broker.connector.deliver(order("1"), never);
    const quick = broker.connector.deliver(order("2", { qos: 0 }), never);
    expect(await quick).toMatchObject({ kind: "done" });
    await settled(client);
    await settled(client);
    expect(publishes(client).map(topicOf).sort()).toEqual(["orders/1", "orders/2"]);
    for (const publish of publishes(client)) if (topicOf(publish) === "orders/1") client.puback(packetIdOf(publish));
    expect(await slow).toMatchObject({ kind: "done" });
  });

  it("is sent what is new behind what it had not acknowledged, however slowly it reads (P4)", async () => {
    await using broker = await startBroker();
    await using other = await connected(broker.port);
    const first = await connected(broker.port, { clean: false, clientId: "listener" });
    await subscribed(first, "chat/#");
    const payload = "x".repeat(10_000);
    for (let n = 1; n <= 700; n++) other.publish(`chat/${n}`, payload, { qos: 1, packetId: n });
    await first.received(packetType.publish, 700);
    await first.cut();
    await using second = await RawMqtt.open(broker.port);
    second.pause();
    second.write(connectPacket({ ...login, clientId: "listener", clean: false }));
    await settled(other);
    await settled(other);
    other.publish("chat/new", "new", { qos: 1, packetId: 701 });
    await other.received(packetType.puback, 701);
    second.resume();
    await second.received(packetType.publish, 701);
    await settled(second);
    const expected = [...Array.from({ length: 700 }, (_, n) => `chat/${n + 1}`), "chat/new"];
    expect(second.packets[0]?.type).toBe(packetType.connack);
    expect(publishes(second).map(topicOf)).toEqual(expected);
  });

  it("takes two thousand messages at QoS 2, each released in its turn", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port, { clean: false, clientId: "listener" });
    client.write(subscribePacket(["chat/#"], 2, 77));
    await client.received(packetType.suback, 77);
    await using other = await connected(broker.port);
    for (let n = 1; n <= 2000; n++) {
      other.publish("chat/x", String(n), { qos: 2, packetId: n });
      const id = packetIdOf(await client.received(packetType.publish));
      client.packets.length = 0;
      client.send(0x50, Buffer.from([id >> 8, id & 0xff]));
      await client.received(packetType.pubrel, id);
      client.send(0x70, Buffer.from([id >> 8, id & 0xff]));
      other.pubrel(n);
      await other.received(packetType.pubcomp, n);
      other.packets.length = 0;
    }
    expect(client.closed).toBe(false);
  });
});

describe("what the embedded broker retains", () => {
  it("is bounded in bytes: a delivery past it waits in the gateway's queue (P6)", async () => {
    await using broker = await startBroker();
    const body = Buffer.alloc(4 * 1024 * 1024);
    const outcomes: string[] = [];
    for (let n = 0; n < 10; n++)
      outcomes.push((await broker.connector.deliver(order(String(n), { retain: true, body }), never)).kind);
    expect(outcomes).toEqual([...Array(7).fill("done"), ...Array(3).fill("retry")]);
  });

  it("is bounded in bytes for what devices publish, and keeps nothing that is out of date", () => {
    const retained = new Retained();
    const store = (topic: string, sizeBytes: number): boolean =>
      retained.store({ topic, payload: Buffer.alloc(sizeBytes), qos: 0 });
    expect(store("a", 1000)).toBe(true);
    expect(store("b", 31 * 1024 * 1024)).toBe(true);
    expect(store("a", 2 * 1024 * 1024)).toBe(false);
    expect([...retained.matching(["#", "+"])].map(({ topic }) => topic)).toEqual(["b"]);
    expect(store("b", 0)).toBe(true);
    expect(store("a", 2 * 1024 * 1024)).toBe(true);
  });
});
