import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../../gateway/connector/connector.ts";
import { MqttBrokerConnector } from "../../../../gateway/connector/mqtt-broker/connector.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { until } from "../../../support/process.ts";
import { packetIdOf, packetType, RawMqtt, topicOf } from "../../../support/raw-mqtt.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { config, connected, login, settled, startBroker, topic } from "./harness.ts";

const order = (qos: 0 | 1, options: { topic?: string; retain?: boolean } = {}): Outbound => ({
  kind: "topic",
  topic: options.topic ?? "orders/42",
  body: Buffer.from("release"),
  qos,
  retain: options.retain ?? false,
  event: { id: "m1" } as Outbound["event"],
  key: "42",
  attempt: 1,
});

describe("acknowledgement of the embedded broker", () => {
  for (const { qos, type, name } of [
    { qos: 1, type: packetType.puback, name: "PUBACK" },
    { qos: 2, type: packetType.pubrec, name: "PUBREC" },
  ] as const) {
    it(`sends ${name} only when the message is flushed (P1)`, async () => {
      await using broker = await startBroker();
      await using client = await connected(broker.port);
      const flush = broker.inlet.close();
      client.publish(topic, "a", { qos, packetId: 7 });
      await until(
        () => broker.inlet.calls.length,
        (calls) => calls === 1,
      );
      await using other = await connected(broker.port, { clientId: "t2" });
      await settled(other);
      expect(client.has(type)).toBe(false);
      flush();
      await client.received(type, 7);
      expect(broker.inlet.bodies).toEqual(["a"]);
    });
  }

  it("ends the connection without acknowledging when the message cannot be kept, and takes it when it comes again (P1)", async () => {
    await using broker = await startBroker();
    await using first = await connected(broker.port);
    broker.inlet.failure = "DISK_FAILED";
    first.publish(topic, "a", { qos: 1, packetId: 7 });
    await first.ended();
    expect(first.has(packetType.puback)).toBe(false);
    broker.inlet.failure = undefined;
    await using second = await connected(broker.port);
    second.publish(topic, "a", { qos: 1, packetId: 7, dup: true });
    await second.received(packetType.puback, 7);
    expect(broker.inlet.bodies).toEqual(["a"]);
  });

  it("acknowledges nothing once the gateway stops", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    broker.inlet.failure = "STOPPED";
    client.publish(topic, "a", { qos: 2, packetId: 7 });
    await client.ended();
    expect(client.has(packetType.pubrec)).toBe(false);
  });

  it("holds a message while the queue is full, on the same connection, and takes it when there is room (P6)", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    broker.inlet.failure = "QUEUE_FULL";
    client.publish(topic, "a", { qos: 1, packetId: 7 });
    client.publish(topic, "b", { qos: 1, packetId: 8 });
    await until(
      () => broker.inlet.calls.length,
      (calls) => calls >= 3,
    );
    expect(client.has(packetType.puback)).toBe(false);
    expect(client.closed).toBe(false);
    expect(broker.connector.report()).toMatchObject({ state: "degraded" });
    broker.inlet.failure = undefined;
    await client.received(packetType.puback, 8);
    expect(broker.inlet.bodies).toEqual(["a", "b"]);
    expect(broker.connector.report()).toMatchObject({ state: "up" });
  });

  it("takes what comes at QoS 0 into the queue as well", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.publish(topic, "a");
    await until(
      () => broker.inlet.bodies,
      (bodies) => bodies.length === 1,
    );
    expect(broker.inlet.accepted[0]?.origin).toEqual({ kind: "topic", topic, retained: false });
  });

  it("keeps the order of one connection, however long each flush takes (P4)", async () => {
    const inlet = new RecordingInlet();
    inlet.before = (call) => new Promise((resolve) => setTimeout(resolve, call % 2 === 1 ? 20 : 0));
    await using broker = await startBroker(inlet);
    await using client = await connected(broker.port);
    const messages = Array.from({ length: 200 }, (_, n) => ({
      topic,
      payload: String(n),
      qos: (n % 3) as 0 | 1 | 2,
      packetId: n + 1,
    }));
    client.publishAll(messages);
    await until(
      () => inlet.bodies.length,
      (count) => count === messages.length,
    );
    expect(inlet.bodies).toEqual(messages.map(({ payload }) => payload));
    // messages at QoS 0 and 1 that wait share a flush
    expect(inlet.calls.length).toBeLessThan(messages.length);
    const acknowledged = client.packets.filter(({ type }) => type === packetType.puback).map(packetIdOf);
    expect(acknowledged).toEqual([...acknowledged].sort((a, b) => a - b));
  });
});

describe("exactly once at the embedded broker", () => {
  it("records a message once that comes again with DUP on a next connection (rule 1)", async () => {
    await using broker = await startBroker();
    const first = await connected(broker.port, { clean: false });
    first.publish(topic, "a", { qos: 2, packetId: 7 });
    await first.received(packetType.pubrec, 7);
    await first.cut();
    await using second = await connected(broker.port, { clean: false });
    second.publish(topic, "a", { qos: 2, packetId: 7, dup: true });
    await second.received(packetType.pubrec, 7);
    expect(broker.inlet.bodies).toEqual(["a"]);
  });

  it("records it once as well when the sender repeats without DUP, as MQTT.js does", async () => {
    await using broker = await startBroker();
    const first = await connected(broker.port, { clean: false });
    first.publish(topic, "a", { qos: 2, packetId: 7 });
    await first.received(packetType.pubrec, 7);
    await first.cut();
    await using second = await connected(broker.port, { clean: false });
    second.publish(topic, "a", { qos: 2, packetId: 7 });
    await second.received(packetType.pubrec, 7);
    expect(broker.inlet.bodies).toEqual(["a"]);
  });

  it("records it once when the gateway was restarted in between", async () => {
    const inlet = new RecordingInlet();
    {
      await using broker = await startBroker(inlet);
      await using client = await connected(broker.port, { clean: false });
      client.publish(topic, "a", { qos: 2, packetId: 7 });
      await client.received(packetType.pubrec, 7);
    }
    await using broker = await startBroker(inlet);
    await using client = await connected(broker.port, { clean: false });
    client.publish(topic, "a", { qos: 2, packetId: 7, dup: true });
    await client.received(packetType.pubrec, 7);
    expect(inlet.bodies).toEqual(["a"]);
    client.pubrel(7);
    await client.received(packetType.pubcomp, 7);
    expect(inlet.markers.size).toBe(0);
  });

  it("forgets the packet id before PUBCOMP, so that its next message is recorded", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    for (const body of ["a", "a"]) {
      client.packets.length = 0;
      client.publish(topic, body, { qos: 2, packetId: 7 });
      await client.received(packetType.pubrec, 7);
      client.pubrel(7);
      await client.received(packetType.pubcomp, 7);
      expect(broker.inlet.markers.size).toBe(0);
    }
    expect(broker.inlet.bodies).toEqual(["a", "a"]);
  });

  it("does not take a new message for an old one when a device lost its memory and counts its packet ids anew", async () => {
    const inlet = new RecordingInlet();
    {
      await using broker = await startBroker(inlet);
      await using client = await connected(broker.port, { clean: false });
      client.publish(topic, "a", { qos: 2, packetId: 1 });
      await client.received(packetType.pubrec, 1);
    }
    await using broker = await startBroker(inlet);
    await using client = await connected(broker.port, { clean: false });
    client.publish(topic, "b", { qos: 2, packetId: 1 });
    await client.received(packetType.pubrec, 1);
    await client.cut();
    await using again = await connected(broker.port, { clean: false });
    again.publish(topic, "c", { qos: 2, packetId: 1 });
    await again.received(packetType.pubrec, 1);
    expect(inlet.bodies).toEqual(["a", "b", "c"]);
  });

  it.each([
    ["its first try was lost and it repeats it with DUP, in the session that it kept", false, "b"],
    ["its first try was lost and it repeats it with DUP, in a clean session", true, "b"],
    ["it says the same as the old one, in a clean session", true, "a"],
  ])("does not take a new message for one that an earlier life of the device left unreleased: %s", async (_why, clean, body) => {
    const inlet = new RecordingInlet();
    {
      await using broker = await startBroker(inlet);
      await using client = await connected(broker.port, { clean });
      client.publish(topic, "a", { qos: 2, packetId: 1 });
      await client.received(packetType.pubrec, 1);
    }
    await using broker = await startBroker(inlet);
    await using client = await connected(broker.port, { clean });
    client.publish(topic, body, { qos: 2, packetId: 1, dup: true });
    await client.received(packetType.pubrec, 1);
    expect(inlet.bodies).toEqual(["a", body]);
    client.publish(topic, body, { qos: 2, packetId: 1, dup: true });
    client.pubrel(1);
    await client.received(packetType.pubcomp, 1);
    expect(inlet.bodies).toEqual(["a", body]);
  });

  it("forgets in a clean session what the one before, in the same process, left unreleased", async () => {
    await using broker = await startBroker();
    for (const _life of [1, 2]) {
      await using client = await connected(broker.port);
      client.publish(topic, "one piece", { qos: 2, packetId: 1 });
      await client.received(packetType.pubrec, 1);
    }
    expect(broker.inlet.bodies).toEqual(["one piece", "one piece"]);
  });

  it("sends no PUBCOMP while the release cannot be flushed", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.publish(topic, "a", { qos: 2, packetId: 7 });
    await client.received(packetType.pubrec, 7);
    broker.inlet.failure = "DISK_FAILED";
    client.pubrel(7);
    await client.ended();
    expect(client.has(packetType.pubcomp)).toBe(false);
  });
});

describe("access to the embedded broker (P9)", () => {
  it("refuses an unknown user, a wrong password and nobody at all", async () => {
    await using broker = await startBroker();
    for (const wrong of [{ username: "nobody" }, { password: "wrong" }, { username: undefined, password: undefined }]) {
      await using client = await RawMqtt.connect(broker.port, { ...login, ...wrong });
      expect((await client.received(packetType.connack)).body[1]).toBe(4);
      await client.ended();
    }
  });

  it("refuses a client of MQTT 5 with the code for its version", async () => {
    await using broker = await startBroker();
    await using client = await RawMqtt.connect(broker.port, { ...login, level: 5 });
    expect((await client.received(packetType.connack)).body[1]).toBe(1);
  });

  it("ends the connection at a publish outside the user's grants, unacknowledged and not recorded", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.publish("floor/l1/d1/sample", "a", { qos: 1, packetId: 7 });
    await client.ended();
    expect(client.has(packetType.puback)).toBe(false);
    expect(broker.inlet.calls).toEqual([]);
  });

  it("drops a publish at QoS 0 outside the user's grants and keeps the connection", async () => {
    await using broker = await startBroker();
    await using listener = await connected(broker.port, { clientId: "t2" });
    await using client = await connected(broker.port, { clientId: "d1", username: "device", password: "sesame" });
    listener.subscribe("chat/#", 1);
    await listener.received(packetType.suback);
    client.publish("chat/hello", "not mine", { retain: true });
    client.publish("floor/l1/d1/sample", "mine", { qos: 1, packetId: 8 });
    await client.received(packetType.puback, 8);
    await settled(listener);
    expect(listener.has(packetType.publish)).toBe(false);
    expect(broker.inlet.bodies).toEqual(["mine"]);
  });

  it("does not grant a subscription outside the user's grants", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.subscribe("#", 1, 3);
    expect((await client.received(packetType.suback, 3)).body[2]).toBe(0x80);
    client.subscribe("chat/#", 1, 4);
    expect((await client.received(packetType.suback, 4)).body[2]).toBe(1);
  });

  it("does not let a user end another user's connection by its client id", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    await using thief = await RawMqtt.connect(broker.port, { clientId: login.clientId, username: "device", password: "sesame" });
    expect((await thief.received(packetType.connack)).body[1]).toBe(2);
    await settled(client);
    expect(client.closed).toBe(false);
  });

  it("ends a connection that announces a packet larger than the limit", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.send(0x30, Buffer.alloc(17 * 1024 * 1024));
    await client.ended();
    expect(broker.inlet.calls).toEqual([]);
  });
});

describe("messages to clients of the embedded broker", () => {
  const never = new AbortController().signal;

  it("are delivered when the subscriber has acknowledged", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.subscribe("orders/#", 1);
    await client.received(packetType.suback);
    let outcome: unknown;
    const delivery = broker.connector.deliver(order(1), never).then((result) => {
      outcome = result;
    });
    const received = await client.received(packetType.publish);
    expect(topicOf(received)).toBe("orders/42");
    await settled(client);
    expect(outcome).toBeUndefined();
    client.puback(packetIdOf(received));
    await delivery;
    expect(outcome).toMatchObject({ kind: "done" });
  });

  it("are acknowledged one by one when many are under way", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port, { clean: false });
    client.subscribe("orders/#", 1);
    await client.received(packetType.suback);
    const deliveries = Array.from({ length: 50 }, (_, n) => broker.connector.deliver(order(1, { topic: `orders/${n}` }), never));
    await until(
      () => client.packets.filter(({ type }) => type === packetType.publish).length,
      (count) => count === 50,
    );
    for (const received of client.packets.filter(({ type }) => type === packetType.publish)) client.puback(packetIdOf(received));
    for (const outcome of await Promise.all(deliveries)) expect(outcome).toMatchObject({ kind: "done" });
  });

  it("wait in the gateway's queue while nobody listens", async () => {
    await using broker = await startBroker();
    expect(await broker.connector.deliver(order(1), never)).toMatchObject({ kind: "retry" });
  });

  it("have an unknown outcome when the subscriber leaves before it acknowledged", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.subscribe("orders/#", 1);
    await client.received(packetType.suback);
    const delivery = broker.connector.deliver(order(1), never);
    await client.received(packetType.publish);
    await client.cut();
    expect(await delivery).toMatchObject({ kind: "unknown" });
  });

  it("are refused outside the connector's grants", async () => {
    await using broker = await startBroker();
    expect(await broker.connector.deliver(order(1, { topic: "chat/x" }), never)).toMatchObject({ kind: "refused" });
  });

  it("reach a later subscriber when they are retained", async () => {
    await using broker = await startBroker();
    expect(await broker.connector.deliver(order(1, { retain: true }), never)).toMatchObject({ kind: "done" });
    await using client = await connected(broker.port);
    client.subscribe("orders/#", 1);
    expect((await client.received(packetType.publish)).flags & 1).toBe(1);
  });

  it("leave traffic between devices alone: forwarded, and not recorded", async () => {
    await using broker = await startBroker();
    await using listener = await connected(broker.port, { clientId: "t2" });
    listener.subscribe("chat/#", 1);
    await listener.received(packetType.suback);
    await using client = await connected(broker.port);
    client.publish("chat/hello", "hi", { qos: 1, packetId: 9 });
    await client.received(packetType.puback, 9);
    expect(topicOf(await listener.received(packetType.publish))).toBe("chat/hello");
    expect(broker.inlet.calls).toEqual([]);
  });
});

describe("the embedded broker's address", () => {
  it("is tried again while another process has it, and the reason is shown", async () => {
    await using first = await startBroker();
    const taken = connectorDeps({
      name: "floor",
      config: { ...config, port: first.port },
      inlet: new RecordingInlet(),
      secrets: { terminal: "x", device: "y" },
    });
    const second = new MqttBrokerConnector(taken);
    await second.start(new AbortController().signal);
    expect(second.report()).toMatchObject({ state: "down" });
    await first.connector.stop();
    await until(
      () => second.report(),
      ({ state }) => state === "up",
    );
    await second.stop();
    expect(second.report().state).toBe("stopped");
  });
});
