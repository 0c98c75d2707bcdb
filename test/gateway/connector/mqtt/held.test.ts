import { connectAsync } from "mqtt";
import { describe, expect, it } from "vitest";
import { maxUnflushed } from "../../../../gateway/connector/mqtt/intake-stream.ts";
import { type Clock, systemClock } from "../../../../protocol/index.ts";
import { startLinkProxy } from "../../../support/link-proxy.ts";
import { freePort } from "../../../support/mosquitto.ts";
import { until } from "../../../support/process.ts";
import type { RecordingInlet } from "../../../support/recording-inlet.ts";
import { broker, missing, order, patient, peer, pick, startConnector, toStop, up } from "./harness.ts";

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n));
/** The broker sends as much as it may, and keeps whatever it may not send. */
const unbounded = { config: ["max_inflight_messages 0", "max_queued_messages 0"] };

async function publishAll(url: string, bodies: readonly string[]): Promise<void> {
  const wms = await peer(url);
  await Promise.all(bodies.map((body) => wms.publishAsync(pick, body, { qos: 1 })));
}

const calls = (inlet: RecordingInlet, count: number) =>
  until(
    () => inlet.calls.length,
    (length) => length >= count,
  );
const recorded = (inlet: RecordingInlet, count: number) =>
  until(
    () => inlet.bodies.length,
    (length) => length >= count,
  );

/** The session of the broker holds nothing of what was recorded so far. */
async function nothingComesAgain(
  url: string,
  { inlet, connector, folder }: Awaited<ReturnType<typeof startConnector>>,
  config: { version: "5" | "3.1.1" },
): Promise<void> {
  const wms = await peer(url);
  const count = inlet.bodies.length;
  // a flush of its own, behind the acknowledgements of all that came before
  await wms.publishAsync(pick, "last", { qos: 0 });
  await recorded(inlet, count + 1);
  await connector.stop();
  const again = await startConnector(url, { config, folder });
  await up(again.connector);
  await wms.publishAsync(pick, "next", { qos: 1 });
  await recorded(again.inlet, 1);
  expect(again.inlet.bodies).toEqual(["next"]);
}

describe.skipIf(missing).each(["5", "3.1.1"] as const)("PUBACKs that are held back, over MQTT %s", (version) => {
  const config = { version };

  it("leave for none of many messages before its flush, and all of them come again in order (P1, P4)", async () => {
    const mosquitto = await broker(unbounded);
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const flush = inlet.close();
    await publishAll(mosquitto.url, numbers(300));
    await calls(inlet, 1);
    await connector.stop();
    flush();
    const again = await startConnector(mosquitto.url, { config, folder });
    await recorded(again.inlet, 300);
    expect(again.inlet.bodies).toEqual(numbers(300));
  });

  it("leave for all that one flush carried: none of it comes again", async () => {
    const mosquitto = await broker(unbounded);
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config, clock: patient });
    await up(connector);
    // the first flush takes until all of them wait behind it
    const flush = inlet.close();
    await publishAll(mosquitto.url, numbers(3000));
    flush();
    await recorded(inlet, 3000);
    expect(inlet.bodies).toEqual(numbers(3000));
    expect(inlet.calls.length).toBeLessThan(1500);
    await nothingComesAgain(mosquitto.url, { inlet, connector, folder }, config);
  });

  it("do not leave for what failed, nor for what came behind it: both come again, in order", async () => {
    const mosquitto = await broker(unbounded);
    const { inlet, connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const first = Promise.withResolvers<void>();
    inlet.before = async (call) => {
      if (call === 1) await first.promise;
      inlet.failure = call === 2 ? "DISK_FAILED" : undefined;
    };
    await publishAll(mosquitto.url, ["0"]);
    await calls(inlet, 1);
    await publishAll(mosquitto.url, ["1", "2", "3", "4"]);
    first.resolve();
    await recorded(inlet, 5);
    expect(inlet.bodies).toEqual(numbers(5));
    await until(
      () => connector.report(),
      ({ connects }) => connects === 2,
    );
  });

  it("never leave over a next connection: its broker is not told that the old one's message is kept", async () => {
    const mosquitto = await broker(unbounded);
    const link = await startLinkProxy({ target: `http://127.0.0.1:${mosquitto.port}` });
    toStop.push(link);
    const { inlet, connector, folder } = await startConnector(`mqtt://127.0.0.1:${link.port}`, { config });
    await up(connector);
    const old = Promise.withResolvers<void>();
    const never = Promise.withResolvers<void>();
    inlet.before = (call) => (call === 1 ? old.promise : never.promise);
    await publishAll(mosquitto.url, ["a"]);
    await calls(inlet, 1);
    link.cut("refused");
    link.restore();
    await calls(inlet, 2);
    await up(connector);
    // flushed, but its connection has ended; the same message came again over the next one and is not flushed there
    old.resolve();
    await recorded(inlet, 1);
    // the broker has heard all that would have been written by now
    expect(await connector.deliver?.(order(), new AbortController().signal)).toEqual({ kind: "done" });
    await connector.stop();
    never.resolve();
    const again = await startConnector(mosquitto.url, { config, folder });
    await recorded(again.inlet, 1);
    expect(again.inlet.bodies).toEqual(["a"]);
  });

  it("do not break the session, however long the disk takes: pings go on, and reading stops at the bound", async () => {
    const mosquitto = await broker(unbounded);
    let sleep = systemClock.sleep;
    const clock: Clock = { ...systemClock, sleep: (ms, signal) => sleep(ms, signal) };
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config: { ...config, keepAlive: "2s" }, clock });
    await up(connector);
    const prepared: number[] = [];
    const prepare = inlet.prepare.bind(inlet);
    Object.assign(inlet, {
      prepare: (input: Parameters<typeof prepare>[0]) => {
        prepared.push(1);
        return prepare(input);
      },
    });
    const flush = inlet.close();
    const count = maxUnflushed * 4;
    await publishAll(mosquitto.url, numbers(count));
    const heldAt = performance.now();
    // more than the broker waits for a ping passes: time itself is the condition here
    await until(
      () => performance.now() - heldAt,
      (ms) => ms > 4000,
    );
    expect(connector.report()).toMatchObject({ state: "up", connects: 1 });
    expect(prepared.length).toBeGreaterThanOrEqual(maxUnflushed);
    expect(prepared.length).toBeLessThan(maxUnflushed * 3);
    flush();
    await recorded(inlet, count);
    expect(inlet.bodies).toEqual(numbers(count));
    expect(connector.report()).toMatchObject({ connects: 1 });
    sleep = patient.sleep;
    await nothingComesAgain(mosquitto.url, { inlet, connector, folder }, config);
  });

  it("are due for QoS 1 only: QoS 0 is taken in its place", async () => {
    const mosquitto = await broker(unbounded);
    const { inlet, connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const wms = await peer(mosquitto.url);
    for (const [n, body] of numbers(20).entries()) await wms.publishAsync(pick, body, { qos: n % 2 === 0 ? 0 : 1 });
    await recorded(inlet, 20);
    expect(inlet.bodies).toEqual(numbers(20));
  });

  it("are PUBRECs where the session still holds messages at QoS 2: these are recorded, and do not come again", async () => {
    const mosquitto = await broker(unbounded);
    const before = await connectAsync(mosquitto.url, {
      clientId: "plantgate-lyon-wms",
      clean: false,
      protocolVersion: version === "5" ? 5 : 4,
      ...(version === "5" ? { properties: { sessionExpiryInterval: 600 } } : {}),
      reconnectPeriod: 0,
    });
    await before.subscribeAsync("wms/picks/+/confirmed", { qos: 2 });
    await before.endAsync();
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 2 });
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config, clock: patient });
    await recorded(inlet, 1);
    await wms.publishAsync(pick, "b", { qos: 1 });
    await recorded(inlet, 2);
    expect(inlet.bodies).toEqual(["a", "b"]);
    await nothingComesAgain(mosquitto.url, { inlet, connector, folder }, config);
  });
});

it.skipIf(missing)("takes messages from a broker behind a WebSocket", async () => {
  const port = await freePort();
  const mosquitto = await broker({ config: [...unbounded.config, `listener ${port} 127.0.0.1`, "protocol websockets"] });
  const { inlet, connector } = await startConnector(`ws://127.0.0.1:${port}`);
  await up(connector);
  await publishAll(mosquitto.url, numbers(200));
  await recorded(inlet, 200);
  expect(inlet.bodies).toEqual(numbers(200));
});

it.skipIf(missing)("says that it is held, and why, and takes samples while orders are refused (P6)", async () => {
  const mosquitto = await broker(unbounded);
  const { inlet, connector } = await startConnector(mosquitto.url);
  await up(connector);
  inlet.full = ({ body }) => Buffer.from(body).toString() === "order";
  await publishAll(mosquitto.url, ["sample", "sample", "order", "later"]);
  const report = await until(
    () => connector.report(),
    ({ state }) => state === "degraded",
  );
  expect(report.reason).toContain("the queue is full");
  expect(inlet.bodies).toEqual(["sample", "sample"]);
  inlet.full = undefined;
  await recorded(inlet, 4);
  expect(inlet.bodies).toEqual(["sample", "sample", "order", "later"]);
  await up(connector);
  expect(connector.report().connects).toBe(1);
});
