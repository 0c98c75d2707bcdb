import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Input } from "../../../../gateway/connector/connector.ts";
import { PacketScanner } from "../../../../gateway/connector/mqtt-broker/packet-scanner.ts";
import { until } from "../../../support/process.ts";
import { packetIdOf, packetType, publishPacket } from "../../../support/raw-mqtt.ts";
import { connected, settled, startBroker, topic } from "./harness.ts";

const isOrder = ({ body }: Input): boolean => Buffer.from(body).toString().startsWith("order");

function everyHalfSecond(act: () => void): Disposable {
  const timer = setInterval(act, 500);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

describe("clients of the embedded broker while the queue is full", () => {
  it("keep their connections, though several messages wait for longer than their keep alive (P6, rule 12)", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port, { keepAliveSeconds: 2 });
    broker.inlet.failure = "QUEUE_FULL";
    const messages = Array.from({ length: 300 }, (_, n) => ({ topic, payload: `m${n}`, qos: 1 as const, packetId: n + 1 }));
    client.publishAll(messages);
    await until(
      () => broker.connector.report(),
      ({ state }) => state === "degraded",
    );
    using _pinging = everyHalfSecond(() => client.ping());
    // more than two keep alives pass: time itself is the condition here
    await until(
      () => client.packets.filter(({ type }) => type === packetType.pingresp).length,
      (answers) => answers >= 10,
    );
    expect(client.closed).toBe(false);
    expect(client.has(packetType.puback)).toBe(false);
    broker.inlet.failure = undefined;
    await client.received(packetType.puback, 300);
    expect(broker.inlet.bodies).toEqual(messages.map(({ payload }) => payload));
    expect(client.packets.filter(({ type }) => type === packetType.puback).map(packetIdOf)).toEqual(
      messages.map(({ packetId }) => packetId),
    );
    expect(broker.connector.report()).toMatchObject({ state: "up" });
  });

  it("are held one by one: a sample of one is taken while an order of another waits", async () => {
    await using broker = await startBroker();
    broker.inlet.full = isOrder;
    await using terminal = await connected(broker.port);
    await using device = await connected(broker.port, { clientId: "d1", username: "device", password: "sesame" });
    terminal.publish(topic, "order 1", { qos: 1, packetId: 1 });
    terminal.publish(topic, "order 2", { qos: 1, packetId: 2 });
    const report = await until(
      () => broker.connector.report(),
      ({ state }) => state === "degraded",
    );
    expect(report.reason).toContain("the queue is full");
    device.publish("floor/l1/d1/sample", "sample", { qos: 1, packetId: 7 });
    await device.received(packetType.puback, 7);
    expect(broker.inlet.bodies).toEqual(["sample"]);
    // the other one's message does not say that there is room for everything
    expect(broker.connector.report()).toMatchObject({ state: "degraded" });
    broker.inlet.full = undefined;
    await terminal.received(packetType.puback, 2);
    expect(broker.inlet.bodies).toEqual(["sample", "order 1", "order 2"]);
    expect(broker.connector.report()).toMatchObject({ state: "up" });
  });

  it("are read only so far, one small packet after the other as well (P6)", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    broker.inlet.failure = "QUEUE_FULL";
    let prepared = 0;
    const prepare = broker.inlet.prepare.bind(broker.inlet);
    Object.assign(broker.inlet, {
      prepare: (input: Input) => {
        prepared += 1;
        return prepare(input);
      },
    });
    const payload = "x".repeat(1000);
    let sent = 0;
    // until neither the broker nor the system's buffers take any more
    await until(
      async () => {
        for (let n = 0; n < 200; n++) client.publish(topic, payload);
        sent += 200;
        await new Promise((resolve) => setImmediate(resolve));
        return client.unread;
      },
      (bytes) => bytes > 8 * 1024 * 1024,
    );
    const retries = broker.inlet.calls.length;
    expect(prepared - retries).toBeLessThan(1500);
    broker.inlet.failure = undefined;
    await until(
      () => broker.inlet.bodies.length,
      (count) => count === sent,
    );
  });

  it("are read on when there is room again, also where a message lies there in many pieces", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    broker.inlet.failure = "QUEUE_FULL";
    const count = 1200;
    for (let n = 1; n <= count; n++) client.publish(topic, "small", { qos: 1, packetId: n });
    await until(
      () => broker.connector.report(),
      ({ state }) => state === "degraded",
    );
    const message = publishPacket(topic, "x".repeat(40_000), { qos: 1, packetId: count + 1 });
    for (let at = 0; at < message.length; at += 1000) {
      client.write(message.subarray(at, at + 1000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    broker.inlet.failure = undefined;
    await client.received(packetType.puback, count + 1);
    expect(broker.inlet.bodies).toHaveLength(count + 1);
  });

  it("do not hold others up: another client's pings are answered and its messages taken", async () => {
    await using broker = await startBroker();
    broker.inlet.full = isOrder;
    await using terminal = await connected(broker.port);
    terminal.publish(topic, "order", { qos: 2, packetId: 1 });
    await until(
      () => broker.inlet.calls.length,
      (calls) => calls > 1,
    );
    await using other = await connected(broker.port, { clientId: "t2" });
    await settled(other);
    other.publish(topic, "finished", { qos: 2, packetId: 1 });
    await other.received(packetType.pubrec, 1);
    expect(terminal.has(packetType.pubrec)).toBe(false);
  });
});

describe("the scanner of a client's packets", () => {
  const packet = (first: number, length: number): Buffer => {
    const header = [first];
    let left = length;
    do {
      header.push((left % 128) | (left > 127 ? 0x80 : 0));
      left = Math.floor(left / 128);
    } while (left > 0);
    // a body that looks like pings
    return Buffer.concat([Buffer.from(header), Buffer.alloc(length, Buffer.from([0xc0, 0]))]);
  };

  it("finds each PINGREQ that lies whole in a chunk, and nothing that only looks like one", () => {
    const ping = Buffer.from([0xc0, 0]);
    const packets = fc.array(
      fc.oneof(
        fc.constant(ping),
        fc.nat({ max: 500 }).map((length) => packet(0x30, length)),
      ),
      {
        maxLength: 30,
      },
    );
    fc.assert(
      fc.property(packets, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, sizes) => {
        const bytes = Buffer.concat(sent);
        const starts = new Set<number>();
        let begin = 0;
        for (const each of sent) {
          if (each === ping) starts.add(begin);
          begin += each.length;
        }
        const scanner = new PacketScanner();
        const found: number[] = [];
        const whole: number[] = [];
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const end = Math.min(bytes.length, at + (sizes[n % sizes.length] as number));
          for (const ping of scanner.scan(bytes.subarray(at, end)).pings) found.push(at + ping);
          for (const start of starts) if (start >= at && start + 2 <= end) whole.push(start);
          at = end;
        }
        expect(found).toEqual(whole);
      }),
    );
  });

  it("knows the size of a packet when its header has come", () => {
    const scanner = new PacketScanner();
    expect(scanner.scan(packet(0x30, 20_000_000).subarray(0, 5)).largest).toBe(20_000_000);
    expect(new PacketScanner().scan(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])).largest).toBe(Number.POSITIVE_INFINITY);
  });
});
