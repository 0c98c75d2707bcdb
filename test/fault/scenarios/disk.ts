import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Receiver } from "../disk/receiver.ts";
import { SmallDisk } from "../disk/small-disk.ts";
import { judgeReported } from "../judge/reported.ts";
import type { Load, Rates } from "../load/load.ts";
import { Office } from "../plant/office.ts";
import { Rig } from "../plant/rig.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const rates: Rates = { finishedQos1: 1500, finishedQos2: 200, shortages: 80, samplesQos1: 4000, samplesQos2: 200 };
const diskMiB = 160;
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
  await moved(load, 2000, withinMs);

  // batches do not get through, so that messages stay; status, downlink and acknowledgements do
  rig.link.fault = (path) => (path.endsWith("/batches") ? { kind: "page", status: 502 } : { kind: "none" });
  say("the gateway's disk fills up");
  small.fill(24 * 1024 * 1024);
  await sleep(quick ? 2000 : 5000);
  small.fill(0);
  const states = new Set<string>();
  const refusedAfterMs = await reachedAfter(async () => {
    states.add(await diskState(rig));
    small.fill(0);
    return (load.troubles["answered 503"] ?? 0) > 0 && !(await moved(load, 1, 1500));
  });
  check(refusedAfterMs !== undefined, "publishers were not pushed back");
  const pushedBack = load.troubles;
  const before = { ...pushedBack };

  say("refusing: orders have to get through all the same");
  const released = Array.from({ length: 5 }, (_, index) => `full-mo-${index}`);
  for (const order of released) await office.release(order);
  const controlMs = await reachedAfter(async () => released.every((order) => receiver.orders.has(order)));
  check(controlMs !== undefined, "orders were not delivered while the disk was full");
  states.add(await diskState(rig));
  await sleep(3000);
  const lostConnections = (load.troubles["connections lost"] ?? 0) - (before["connections lost"] ?? 0);
  check(lostConnections <= mostLostConnections, `${lostConnections} connections were dropped while the disk was full`);
  check(load.troubles["503 without Retry-After"] === undefined, "503 came without Retry-After");
  check(states.has("refusing"), `the status never said that it refuses; it said ${[...states].join(", ")}`);

  say("central acknowledges again: that alone makes room in the queue's own file");
  rig.link.fault = undefined;
  const resumedByDrainMs = await reachedAfter(() => moved(load, 1000, 2000));
  check(resumedByDrainMs !== undefined, "intake did not go on when central acknowledged");
  say("there is room again");
  small.free();
  const resumedMs = await reachedAfter(() => moved(load, 3000, 3000));
  check(resumedMs !== undefined, "intake did not go on when there was room");
  check(rig.gateway.process.pid === pid && isAlive(pid), "the gateway's process ended");

  say("draining");
  const { outcome, judge } = await rig.judge({ stalledMs: quick ? 30_000 : 60_000, expectLosses: true });
  const reported = judgeReported(judge, rig.log);
  const transactions = [...judge.missing()].filter(([stream]) => judge.book(stream)?.stream.kind !== "sample");
  check(transactions.length === 0, "business messages are missing");
  check(
    [...receiver.orders.values()].every((count) => count === 1),
    "an order was delivered twice",
  );
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
      states: [...states],
      refusedAfterMs,
      controlMs,
      resumedByDrainMs,
      resumedMs,
      lostConnections,
      troubles: load.troubles,
    },
  };
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
  small.fill(0);
  const refusedAfterMs = await reachedAfter(async () => {
    small.fill(0);
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

async function diskState(rig: Rig): Promise<string> {
  return rig.log.diskState(rig.gateway.site) ?? "unknown";
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
