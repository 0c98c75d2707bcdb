import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Receiver } from "../disk/receiver.ts";
import { SmallDisk } from "../disk/small-disk.ts";
import { judgeReported } from "../judge/reported.ts";
import type { Load, Rates } from "../load/load.ts";
import { Office } from "../plant/office.ts";
import { Rig } from "../plant/rig.ts";
import { alarms } from "../plant/said.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const rates: Rates = { finishedQos1: 1500, finishedQos2: 200, shortages: 80, samplesQos1: 4000, samplesQos2: 200 };
/** Sparse: only what is written takes space. */
const diskMiB = 4096;
/** Step by step, so that each step of the ladder is seen. */
const freeShares = [0.09, 0.05, 0.02, 0] as const;
/** A gateway whose disk is full says so within this, and takes in again within this of room. */
const withinMs = 60_000;
/** A connection that is pushed back stays; a few may end for other reasons. */
const mostLostConnections = 8;

/** The disk of the gateway, then that of central, fills up under load by somebody else's file, and has room again. */
export const disk: Scenario = {
  name: "disk",
  purpose: "a full disk at the gateway, and at central",
  needs: ["root", "loop"],
  async run(context: Context): Promise<Outcome> {
    const gateway = await fillGateway(context);
    const central = await fillCentral(context);
    const findings = [
      ...gateway.findings.map((text) => `gateway: ${text}`),
      ...central.findings.map((text) => `central: ${text}`),
    ];
    return {
      acknowledged: gateway.acknowledged + central.acknowledged,
      lost: gateway.lost + central.lost,
      duplicates: gateway.duplicates + central.duplicates,
      reordered: gateway.reordered + central.reordered,
      held: findings.length === 0,
      findings,
      entry: { gateway: gateway.entry, central: central.entry },
    };
  },
};

async function fillGateway({ folder, say, quick }: Context): Promise<Omit<Outcome, "held">> {
  await mkdir(join(folder, "small-gateway"));
  await using small = await SmallDisk.open(join(folder, "small-gateway"), diskMiB);
  await using receiver = await Receiver.open();
  await using rig = await Rig.open({
    folder: join(folder, "one"),
    gatewayDir: join(small.path, "gateway"),
    receiverUrl: receiver.url,
  });
  const office = await Office.open(rig.central);
  const load = rig.startLoad(rates);
  const { pid } = rig.gateway.process;
  const findings: string[] = [];
  const check = (holds: boolean, otherwise: string): void => {
    if (!holds) findings.push(otherwise);
  };
  // orders that lie in the gateway and cannot be delivered yet
  receiver.away = true;
  const orders = Array.from({ length: 5 }, (_, index) => `full-mo-${index}`);
  for (const order of orders) await office.release(order);
  await moved(load, 2000, withinMs);
  await reachedAfter(async () => rig.log.report(rig.gateway.site)?.deliveries.waiting === orders.length);

  // central takes no batches for now, so that messages stay; status and downlink go on
  rig.link.fault = (path) => (path.endsWith("/batches") ? { kind: "busy" } : { kind: "none" });
  const states: string[] = [];
  for (const freeShare of freeShares) {
    say(`the gateway's disk fills up: ${Math.round(freeShare * 100)} % free`);
    await small.fill(Math.floor(diskMiB * freeShare) * 1024 * 1024);
    await sleep(quick ? 2500 : 5000);
    states.push(rig.log.report(rig.gateway.site)?.disk.state ?? "unknown");
  }
  const refusedAfterMs = await reachedAfter(
    async () => (load.troubles["answered 503"] ?? 0) > 0 && !(await moved(load, 1, 1500)),
  );
  check(refusedAfterMs !== undefined, "publishers were not pushed back");
  check(states.at(-1) === "refusing", `the status never said that it refuses; it said ${states.join(", ")}`);
  const before = { ...load.troubles };

  say("refusing: outcomes of deliveries and acknowledgements by central have to be noted all the same");
  receiver.away = false;
  const deliveredMs = await reachedAfter(async () => orders.every((order) => receiver.orders.has(order)));
  check(deliveredMs !== undefined, "orders were not delivered while the disk was full");
  const acknowledgedBefore = acknowledgedOf(rig);
  rig.link.fault = undefined;
  const drainedMs = await reachedAfter(async () => acknowledgedOf(rig) > acknowledgedBefore);
  check(drainedMs !== undefined, "central's acknowledgements were not noted while the disk was full");
  await sleep(quick ? 1000 : 5000);
  const lostConnections = (load.troubles["connections lost"] ?? 0) - (before["connections lost"] ?? 0);
  check(lostConnections <= mostLostConnections, `${lostConnections} connections were dropped while the disk was full`);
  check(load.troubles["503 without Retry-After"] === undefined, "503 came without Retry-After");

  say("there is room again");
  small.free();
  const resumedMs = await reachedAfter(() => moved(load, 1000, 5000));
  check(resumedMs !== undefined, "intake did not go on when there was room");
  check(rig.gateway.process.pid === pid && isAlive(pid), "the gateway's process ended");

  say("draining");
  const { outcome, judge } = await rig.judge({ stalledMs: quick ? 20_000 : 60_000, expectLosses: true });
  const reported = judgeReported(judge, rig.log);
  const transactions = [...judge.missing()].filter(([stream]) => judge.book(stream)?.stream.kind !== "sample");
  check(transactions.length === 0, "business messages are missing");
  check(
    [...receiver.orders.values()].every((count) => count === 1),
    "an order was delivered twice",
  );
  const outcomes = await rig.central.get<{ messages: unknown[] }>(
    `/v1/messages?type=mfg.delivery.completed.v1&site=${rig.gateway.site}`,
  );
  check(outcomes.messages.length === orders.length, `${outcomes.messages.length} outcomes of ${orders.length} deliveries came`);
  findings.push(...reported.findings, ...outcome.findings.filter((text) => !text.startsWith("lost of s")));
  const { acknowledged, duplicates, reordered } = outcome;
  return {
    acknowledged,
    lost: reported.unreported,
    duplicates,
    reordered,
    findings,
    entry: {
      acknowledged,
      discardedReported: reported.reported,
      unreported: reported.unreported,
      holes: rig.log.holes.length,
      states,
      refusedAfterMs,
      deliveredMs,
      drainedMs,
      resumedMs,
      lostConnections,
      alarms: alarms(rig.gateway.process),
      troubles: load.troubles,
    },
  };
}

/** Of all lanes, as the gateway says it. */
function acknowledgedOf(rig: Rig): number {
  return rig.log.report(rig.gateway.site)?.lanes.reduce((sum, lane) => sum + lane.acknowledged, 0) ?? 0;
}

async function fillCentral({ folder, say, quick }: Context): Promise<Omit<Outcome, "held">> {
  await mkdir(join(folder, "small-central"));
  await using small = await SmallDisk.open(join(folder, "small-central"), diskMiB);
  await using rig = await Rig.open({ folder: join(folder, "two"), centralDir: join(small.path, "central") });
  const load = rig.startLoad({ ...rates, samplesQos1: 1500, finishedQos1: 500 });
  const findings: string[] = [];
  const check = (holds: boolean, otherwise: string): void => {
    if (!holds) findings.push(otherwise);
  };
  await moved(load, 2000, withinMs);
  const { pid } = rig.central.process;
  say("central's disk fills up");
  await small.fill(0);
  const refusedAfterMs = await reachedAfter(async () => {
    await small.fill(0);
    const before = rig.log.batches;
    await sleep(1500);
    return rig.log.batches === before;
  });
  check(refusedAfterMs !== undefined, "batches were acknowledged on a full disk all the time");
  const busy = rig.log.refused[503] ?? 0;
  check(busy > 0, `batches were not answered with 503, but with ${JSON.stringify(rig.log.refused)}`);
  check(isAlive(pid), "central's process ended");
  await sleep(quick ? 1000 : 4000);
  check(await moved(load, 100, 3000), "the plant did not run on while central's disk was full");
  say("central has room again");
  small.free();
  const atRoom = rig.log.batches;
  const resumedMs = await reachedAfter(async () => rig.log.batches > atRoom);
  check(resumedMs !== undefined, "batches were not taken again when there was room");
  say("draining");
  const { outcome } = await rig.judge({ stalledMs: 60_000 });
  return {
    ...outcome,
    findings: [...findings, ...outcome.findings],
    entry: {
      acknowledged: outcome.acknowledged,
      lost: outcome.lost,
      refusedAfterMs,
      refused: rig.log.refused,
      resumedMs,
    },
  };
}

/** Whether so many more messages were acknowledged in time. */
async function moved(load: Load, count: number, inMs: number): Promise<boolean> {
  const before = load.acknowledged;
  const end = performance.now() + inMs;
  while (load.acknowledged < before + count) {
    if (performance.now() > end) return false;
    await sleep(50);
  }
  return true;
}

/** Milliseconds until it holds; undefined: not in time. */
async function reachedAfter(holds: () => Promise<boolean>): Promise<number | undefined> {
  const began = performance.now();
  while (!(await holds())) {
    if (performance.now() - began > withinMs) return undefined;
    await sleep(100);
  }
  return Math.round(performance.now() - began);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
