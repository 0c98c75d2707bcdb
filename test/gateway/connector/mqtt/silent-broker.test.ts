import { expect, it } from "vitest";
import { packetLimits } from "../../../../gateway/connector/mqtt/intake-stream.ts";
import { type Clock, systemClock } from "../../../../protocol/index.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { pingresp, puback, publish, startScriptedBroker, suback } from "../../../support/scripted-broker.ts";
import { never, order, pick, startConnector, toStop, up } from "./harness.ts";

/** Forty seconds are one. */
const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 40, signal) };
const config = { version: "3.1.1" } as const;
/** For the answer to SUBSCRIBE, or something else in its place. */
const subscribeMs = 15_000;

async function brokerOf(...script: Parameters<typeof startScriptedBroker>) {
  const broker = await startScriptedBroker(...script);
  toStop.push({ stop: () => broker[Symbol.asyncDispose]() });
  return broker;
}

it("dials again when a broker does not answer SUBSCRIBE, and says so", async () => {
  const broker = await brokerOf((packet, socket, connection) => {
    if (packet.name === "pingreq") socket.write(pingresp);
    if (packet.name === "subscribe" && connection > 2) socket.write(suback(packet));
  });
  // who answers has the whole time for it
  const sleep: Clock["sleep"] = (ms, signal) =>
    (ms === subscribeMs && broker.connections > 2 ? systemClock : hasty).sleep(ms, signal);
  const { connector } = await startConnector(broker.url, { config, clock: { ...hasty, sleep } });
  const report = await until(
    () => connector.report(),
    ({ state }) => state === "down",
  );
  expect(report.reason).toContain("cannot subscribe: the broker does not answer");
  await up(connector);
  expect(broker.connections).toBe(3);
});

it("stops at once, also while SUBSCRIBE is not answered", async () => {
  const broker = await brokerOf(() => {});
  const { connector } = await startConnector(broker.url, { config });
  await until(
    () => broker.packets.length,
    (count) => count === 2,
  );
  await connector.stop();
  expect(connector.report().state).toBe("stopped");
});

it("waits for the answer to SUBSCRIBE while messages come that were due before it", async () => {
  const count = 5;
  const waits: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => (ms === subscribeMs ? new Promise((resolve) => waits.push(resolve)) : systemClock.sleep(ms, signal)),
  };
  const inlet = new RecordingInlet();
  const broker = await brokerOf(async (packet, socket) => {
    if (packet.name !== "subscribe") return;
    for (let n = 1; n <= count; n++) {
      await until(
        () => waits.length,
        (begun) => begun === n,
      );
      socket.write(publish(pick, Buffer.from(String(n)), n));
      await until(
        () => inlet.bodies.length,
        (taken) => taken === n,
      );
      // its time is over, and something came in it
      waits[n - 1]?.();
    }
    socket.write(suback(packet));
  });
  const { connector } = await startConnector(broker.url, { config, clock, inlet });
  await up(connector);
  expect(inlet.bodies).toHaveLength(count);
  expect(broker.connections).toBe(1);
});

it("ends a session in which an acknowledgement is missing, once the others have come, and takes nothing more before", async () => {
  const late: (() => void)[] = [];
  const broker = await brokerOf((packet, socket, connection) => {
    if (packet.name === "subscribe") socket.write(suback(packet));
    if (packet.name !== "publish") return;
    if (connection > 1) socket.write(puback(packet.packetId));
    else late.push(() => socket.write(puback(packet.packetId)));
  });
  const patience: (() => void)[] = [];
  const clock: Clock = {
    ...hasty,
    sleep: (ms, signal) => (ms === 30_000 ? new Promise((resolve) => patience.push(resolve)) : hasty.sleep(ms, signal)),
  };
  const { connector } = await startConnector(broker.url, { config, clock });
  await up(connector);
  const first = connector.deliver?.(order({ key: "1" }), never);
  const second = connector.deliver?.(order({ key: "2" }), never);
  await until(
    () => late.length,
    (count) => count === 2,
  );
  patience[0]?.();
  expect(await first).toEqual({ kind: "unknown", reason: "the broker did not acknowledge it in time" });
  expect(await connector.deliver?.(order({ key: "3" }), never)).toMatchObject({ kind: "retry" });
  expect(broker.connections).toBe(1);
  late[1]?.();
  expect(await second).toEqual({ kind: "done" });
  await until(
    () => connector.report(),
    ({ connects }) => connects === 2,
  );
  expect(await connector.deliver?.(order({ key: "3" }), never)).toEqual({ kind: "done" });
});

it("takes a large message over a slow link, in which no answer to a ping can come, in one session", async () => {
  const large = publish(pick, Buffer.alloc(packetLimits.packetBytes), 1);
  const broker = await brokerOf(async (packet, socket) => {
    if (packet.name !== "subscribe") return;
    socket.write(suback(packet));
    // three keep alives pass: time itself is the condition here
    for (let part = 0; part < 30; part++) {
      socket.write(large.subarray((large.length * part) / 30, (large.length * (part + 1)) / 30));
      await systemClock.sleep(110);
    }
  });
  const { connector, inlet } = await startConnector(broker.url, { config: { ...config, keepAlive: "1s" } });
  await up(connector);
  await until(
    () => broker.packets,
    (packets) => packets.some(({ name }) => name === "puback"),
  );
  expect(inlet.accepted).toMatchObject([{ wholeBytes: packetLimits.packetBytes }]);
  expect(broker.connections).toBe(1);
});
