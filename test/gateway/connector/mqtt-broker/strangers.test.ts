import { describe, expect, it } from "vitest";
import { until } from "../../../support/process.ts";
import { connectPacket, packetIdOf, packetType, publishPacket, RawMqtt, subscribePacket } from "../../../support/raw-mqtt.ts";
import { connected, login, settled, startBroker, topic } from "./harness.ts";

describe("who has not been let in by the embedded broker", () => {
  it("may announce no packet larger than 64 KiB (P6)", async () => {
    await using broker = await startBroker();
    await using stranger = await RawMqtt.open(broker.port);
    const begin = performance.now();
    stranger.write(Buffer.from([0x10, 0x81, 0x80, 0x04]));
    await stranger.ended();
    // not at the end of the time that it has for CONNECT
    expect(performance.now() - begin).toBeLessThan(9000);
  });

  it("gives way to the next one when there are many: no crowd of them keeps devices out", async () => {
    await using broker = await startBroker();
    const crowd: RawMqtt[] = [];
    for (let n = 0; n < 300; n++) crowd.push(await RawMqtt.open(broker.port));
    await using client = await connected(broker.port);
    await settled(client);
    expect(crowd[0]?.closed).toBe(true);
    expect(crowd.at(-1)?.closed).toBe(false);
    for (const each of crowd) await each.cut();
  });

  it("may send what follows its CONNECT at once", async () => {
    await using broker = await startBroker();
    await using client = await RawMqtt.open(broker.port);
    const messages = Array.from({ length: 600 }, (_, n) => publishPacket(topic, `m${n}`, { qos: 1, packetId: n + 1 }));
    client.write(Buffer.concat([connectPacket(login), ...messages]));
    await client.received(packetType.puback, 600);
    expect(broker.inlet.bodies).toEqual(messages.map((_, n) => `m${n}`));
    expect(client.packets[0]?.type).toBe(packetType.connack);
    expect(client.packets.slice(1).map(packetIdOf)).toEqual(messages.map((_, n) => n + 1));
  });

  it("has nothing taken of what follows a CONNECT that is refused", async () => {
    await using broker = await startBroker();
    await using client = await RawMqtt.open(broker.port);
    client.write(Buffer.concat([connectPacket({ ...login, password: "wrong" }), publishPacket(topic, "a", { qos: 1 })]));
    expect((await client.received(packetType.connack)).body[1]).toBe(4);
    await client.ended();
    expect(broker.inlet.calls).toEqual([]);
  });
});

describe("a client of the embedded broker is ended", () => {
  it.each([true, false])("when it asks for more filters than are kept for one (clean session: %s)", async (clean) => {
    await using broker = await startBroker();
    await using other = await connected(broker.port, { clientId: "t2" });
    await using client = await connected(broker.port, { clean });
    const begin = process.cpuUsage();
    client.write(
      subscribePacket(
        Array.from({ length: 2000 }, (_, n) => `chat/f${n}`),
        1,
      ),
    );
    await client.ended();
    await settled(other);
    // of the processor's time: others may take theirs meanwhile
    expect(process.cpuUsage(begin).user / 1000).toBeLessThan(2000);
  });

  it("when its SUBSCRIBE is larger than 64 KiB", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.write(
      subscribePacket(
        Array.from({ length: 70 }, (_, n) => `chat/${n}${"x".repeat(1000)}`),
        1,
      ),
    );
    await client.ended();
    expect(client.has(packetType.suback)).toBe(false);
  });

  it("when it publishes to a topic of more than 1,024 characters", async () => {
    await using broker = await startBroker();
    await using client = await connected(broker.port);
    client.publish(`floor/${"x".repeat(1020)}/finished`, "a", { qos: 1, packetId: 7 });
    await client.ended();
    expect(broker.inlet.calls).toEqual([]);
  });

  it("when all together have too much under way, and it has most of it (P6)", async () => {
    await using broker = await startBroker();
    // each announces a message of 15 MiB and sends 14 of them
    const head = Buffer.from([0x30, 0x80, 0x80, 0x80 | 0x40, 0x07]);
    const clients: RawMqtt[] = [];
    for (let n = 0; n < 14; n++) {
      const client = await connected(broker.port, { clientId: `c${n}` });
      client.write(head);
      client.write(Buffer.alloc(14 * 1024 * 1024));
      clients.push(client);
    }
    await until(
      () => clients.filter(({ closed }) => closed).length,
      (closed) => closed > 0,
    );
    await using other = await connected(broker.port, { clientId: "t2" });
    other.publish(topic, "small", { qos: 1, packetId: 1 });
    await other.received(packetType.puback, 1);
    expect(other.closed).toBe(false);
    for (const client of clients) await client.cut();
  });
});
