import { describe, expect, it, vi } from "vitest";
import { until } from "../../../support/process.ts";
import { packetType, RawMqtt } from "../../../support/raw-mqtt.ts";
import { connected, login, settled, startBroker, topic } from "./harness.ts";

const will = (changes: { topic?: string; qos?: 0 | 1 | 2 } = {}) => ({
  topic,
  payload: "I am dead",
  qos: 1 as const,
  ...changes,
});

describe("a will at the embedded broker", () => {
  it.each(["floor/l1/finished", "outside/grants"])("at %s is not published by a jump of the clock (P10)", async (at) => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const intervals = vi.spyOn(globalThis, "setInterval");
    try {
      await using broker = await startBroker();
      await using client = await connected(broker.port, { will: will({ topic: at }) });
      const due = (isDue: (ms: number) => boolean): void => {
        for (const [act, ms] of intervals.mock.calls) if (isDue(ms ?? 0)) act();
      };
      due((ms) => ms <= 60_000);
      await settled(client);
      vi.setSystemTime(Date.now() + 50 * 365 * 86_400_000);
      // what is done every few minutes comes before the next of what is done each minute: each timer is late by its own milliseconds
      due((ms) => ms > 60_000);
      await settled(client);
      await settled(client);
      expect(broker.inlet.calls).toEqual([]);
    } finally {
      intervals.mockRestore();
      vi.useRealTimers();
    }
  });

  it("is recorded when its connection ends without DISCONNECT", async () => {
    await using broker = await startBroker();
    const client = await connected(broker.port, { will: will() });
    await client.cut();
    await until(
      () => broker.inlet.bodies,
      (bodies) => bodies.length === 1,
    );
    expect(broker.inlet.accepted[0]?.origin).toMatchObject({ topic });
  });

  it.each(["floor/+/finished", "floor/#", ""])("at %j is no topic: the CONNECT is refused", async (at) => {
    await using broker = await startBroker();
    await using client = await RawMqtt.connect(broker.port, { ...login, will: will({ topic: at }) });
    await client.ended();
    expect(client.has(packetType.connack)).toBe(false);
    await using other = await connected(broker.port, { clientId: "t2" });
    await settled(other);
    expect(broker.inlet.calls).toEqual([]);
  });

  it("waits in memory for room on the disk up to a bound (P6)", async () => {
    await using broker = await startBroker();
    broker.inlet.failure = "QUEUE_FULL";
    const payload = "w".repeat(60_000);
    for (let n = 0; n < 150; n++) {
      const client = await connected(broker.port, { clientId: `w${n}`, will: { topic, payload, qos: 1 } });
      await client.cut();
    }
    await using other = await connected(broker.port, { clientId: "t2" });
    await settled(other);
    broker.inlet.failure = undefined;
    other.publish(topic, "order", { qos: 1, packetId: 1 });
    await other.received(packetType.puback, 1);
    const bytes = await until(
      () => broker.inlet.accepted.reduce((sum, { body }) => sum + body.byteLength, 0),
      (sum) => sum > 3 * 1024 * 1024,
    );
    expect(bytes).toBeLessThan(5 * 1024 * 1024);
  });
});
