import { setTimeout as sleep } from "node:timers/promises";
import type { Fault, FaultyLink } from "../link/faulty-link.ts";
import type { Load, Rates } from "../load/load.ts";
import { Rig } from "../plant/rig.ts";
import type { Random } from "../random.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const quickRates: Rates = { finishedQos1: 200, finishedQos2: 50, shortages: 20, samplesQos1: 400, samplesQos2: 50 };
const rates: Rates = { finishedQos1: 400, finishedQos2: 100, shortages: 40, samplesQos1: 1200, samplesQos2: 100 };
/** 64 kbit/s */
const slowBytesPerSecond = 8000;
/** A link that works again has to be used again within so long; one that hung is found out by its silence. */
const resumesWithinMs = { refused: 25_000, silent: 45_000, slow: 45_000 } as const;
/** Connections and requests that may be tried against a dead line, by second. */
const attemptsPerSecond = 20;

/** Everything that networks and proxies do to requests, one after the other, while the load goes on. */
export const link: Scenario = {
  name: "link",
  purpose: "a link that cuts, crawls, hangs, repeats requests, drops answers, and proxies with error pages of their own",
  needs: [],
  async run({ quick, random, folder, say, signal }: Context): Promise<Outcome> {
    const lengthMs = quick ? 3000 : 15_000;
    await using rig = await Rig.open({ folder });
    const load = rig.startLoad(quick ? quickRates : rates);
    const findings: string[] = [];
    const entry: Record<string, unknown> = {};

    const flaky = makeFlaky(random);
    for (const [name, fault] of [
      ["flaky", flaky],
      ["everythingTwice", (): Fault => ({ kind: "twice" })],
    ] as const) {
      if (signal.aborted) break;
      say(`${name} (${load.acknowledged} messages acknowledged)`);
      rig.link.fault = fault;
      await sleep(lengthMs);
      rig.link.fault = undefined;
    }
    entry.faults = { ...rig.link.counts };

    for (const mode of ["refused", "silent"] as const) {
      if (signal.aborted) break;
      say(`the line is ${mode}`);
      const before = rig.link.attempts;
      rig.link.mode = mode;
      await sleep(lengthMs / 2);
      const attempts = rig.link.attempts - before;
      rig.link.mode = "open";
      const resumedMs = await resumed(rig, resumesWithinMs[mode]);
      entry[mode] = { attempts, resumedMs };
      if (resumedMs === undefined)
        findings.push(`after the line was ${mode} no batch got through within ${resumesWithinMs[mode]} ms`);
      if (attempts > (attemptsPerSecond * lengthMs) / 2000) findings.push(`${attempts} attempts against a line that was ${mode}`);
    }

    if (!signal.aborted) {
      say("the line carries 64 kbit/s");
      entry.slow = await crawl(rig.link, load, lengthMs, () => resumed(rig, resumesWithinMs.slow));
      if ((entry.slow as { firstBatchMs?: number }).firstBatchMs === undefined)
        findings.push(`over 64 kbit/s no batch got through within ${resumesWithinMs.slow} ms`);
    }
    say("draining");
    const { outcome } = await rig.judge({ stalledMs: 60_000 });
    findings.push(...outcome.findings);
    const { acknowledged, lost, duplicates, reordered } = outcome;
    return {
      ...outcome,
      held: findings.length === 0,
      findings,
      entry: { ...entry, acknowledged, lost, duplicates, reordered, sessions: rig.log.hellos, batches: rig.log.batches },
    };
  },
};

/** One fault in three requests. */
function makeFlaky(random: Random): () => Fault {
  return () => {
    if (!random.chance(1 / 3)) return { kind: "none" };
    return random.pick<Fault>([
      { kind: "cutRequest" },
      { kind: "cutReply" },
      { kind: "dropReply" },
      { kind: "dropReply" },
      { kind: "twice" },
      { kind: "twice" },
      { kind: "page", status: 502 },
      { kind: "page", status: 504 },
      { kind: "page", status: 413 },
    ]);
  };
}

/** A backlog first, so that the gateway would like to send much at once. */
async function crawl(
  line: FaultyLink,
  load: Load,
  lengthMs: number,
  firstBatch: () => Promise<number | undefined>,
): Promise<Record<string, unknown>> {
  line.mode = "refused";
  await sleep(lengthMs / 2);
  line.bytesPerSecond = slowBytesPerSecond;
  line.mode = "open";
  const before = load.acknowledged;
  const firstBatchMs = await firstBatch();
  await sleep(lengthMs / 2);
  line.bytesPerSecond = undefined;
  return { firstBatchMs, acknowledgedMeanwhile: load.acknowledged - before };
}

/** Milliseconds until central answered another batch; undefined: not in time. */
async function resumed(rig: Rig, withinMs: number): Promise<number | undefined> {
  const began = performance.now();
  const before = rig.log.batches;
  while (rig.log.batches === before) {
    if (performance.now() - began > withinMs) return undefined;
    await sleep(20);
  }
  return Math.round(performance.now() - began);
}
