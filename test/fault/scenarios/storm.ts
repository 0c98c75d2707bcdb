import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { siteDocuments } from "../../support/site-documents.ts";
import type { Recorded } from "../judge/judge.ts";
import { CentralNode } from "../plant/central-node.ts";
import { claimPort } from "../plant/ports.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";
import type { Seen } from "../storm/simulated-gateway.ts";

const child = fileURLToPath(new URL("../storm/storm-child.ts", import.meta.url));
const processes = 2;
const sizes = {
  full: { gateways: 200, batches: 20, frames: 2, messages: 100, withinMs: 240_000 },
  quick: { gateways: 60, batches: 8, frames: 2, messages: 50, withinMs: 60_000 },
} as const;
const p99LimitMs = 1000;
const stalledMs = 60_000;

/** Every plant comes back within one second, each with a backlog, and central is one process. */
export const storm: Scenario = {
  name: "storm",
  purpose:
    "200 gateways with backlog return within one second; droppedTwice: batches refused (429, 503) again although their sender had waited as told, and requests that broke off or had no answer in 15 s twice in a row",
  needs: [],
  alone: true,
  async run({ quick, folder, say, signal }: Context): Promise<Outcome> {
    const { gateways, batches, frames, messages, withinMs } = quick ? sizes.quick : sizes.full;
    await using central = new CentralNode({ dataDir: join(folder, "central"), port: await claimPort() });
    await central.start();
    const sites = Array.from({ length: gateways }, (_, index) => `plant-${index + 1}`);
    say(`${gateways} gateways write their backlog`);
    const children = Array.from({ length: processes }, (_, index) => {
      const own = sites.filter((_site, at) => at % processes === index);
      return fork(child, [central.url, own.join(","), String(batches), String(frames), String(messages), String(withinMs)]);
    });
    try {
      const prepared = await Promise.all(
        children.map((process) => told<{ keys: { site: string; publicKey: string }[] }>(process)),
      );
      say("central learns the sites");
      for (const { site, publicKey } of prepared.flatMap(({ keys }) => keys)) {
        await central.post("/v1/sites", { name: site, publicKey });
        await central.post(`/v1/sites/${site}/revisions`, {
          files: siteDocuments({ site, send: ["pick.confirmed", "equipment.sampled"] }),
        });
      }
      const total = gateways * batches * frames * messages;
      const began = performance.now();
      const answers = children.map((process) => told<{ seen: Seen[] }>(process));
      for (const process of children) process.send("go");
      say(`storm: ${total} messages`);
      const seen = (await Promise.all(answers)).flatMap((answer) => answer.seen);
      const acknowledgedMs = performance.now() - began;
      say("waiting until all of it is recorded");
      const ledger = await countLedger(central, total, signal);
      return judge({ seen, ledger, total, gateways, acknowledgedMs, recordedMs: performance.now() - began, central });
    } finally {
      for (const process of children) process.kill("SIGKILL");
    }
  },
};

function judge(found: {
  seen: readonly Seen[];
  ledger: { recorded: number; duplicates: number; reordered: number };
  total: number;
  gateways: number;
  acknowledgedMs: number;
  recordedMs: number;
  central: CentralNode;
}): Outcome {
  const { seen, ledger, total } = found;
  const acknowledged = seen.reduce((sum, one) => sum + one.acknowledged, 0);
  const droppedTwice = seen.reduce((sum, one) => sum + one.droppedTwice, 0);
  const undrained = total - ledger.recorded;
  const p99Ms = percentile(
    seen.flatMap(({ hello, uplink, status }) => [...hello, ...uplink, ...status]),
    0.99,
  );
  const lost = Math.max(0, acknowledged - ledger.recorded);
  const findings = [
    ...(p99Ms > p99LimitMs ? [`the 99th percentile of central's answers is ${p99Ms} ms`] : []),
    ...(droppedTwice > 0 ? [`${droppedTwice} were dropped twice`] : []),
    ...(undrained > 0 ? [`${undrained} of ${total} messages are not recorded`] : []),
    ...(ledger.duplicates > 0 ? [`${ledger.duplicates} messages are recorded twice`] : []),
    ...(ledger.reordered > 0 ? [`${ledger.reordered} messages are recorded behind a later one of their lane`] : []),
  ];
  const times = (kind: "hello" | "uplink" | "status"): Record<string, number> => {
    const all = seen.flatMap((one) => one[kind]);
    return { answers: all.length, p50Ms: percentile(all, 0.5), p99Ms: percentile(all, 0.99), maxMs: percentile(all, 1) };
  };
  return {
    acknowledged,
    lost,
    duplicates: ledger.duplicates,
    reordered: ledger.reordered,
    held: findings.length === 0,
    findings,
    entry: {
      gateways: found.gateways,
      p99Ms,
      droppedTwice,
      undrained,
      messages: total,
      acknowledgedSeconds: Math.round(found.acknowledgedMs / 100) / 10,
      recordedSeconds: Math.round(found.recordedMs / 100) / 10,
      hello: times("hello"),
      uplink: times("uplink"),
      status: times("status"),
      refused: sumOf(seen.map(({ refused }) => refused)),
      brokenOff: seen.reduce((sum, one) => sum + one.brokenOff, 0),
      problems: sumOf(seen.map(({ problems }) => problems)),
      centralPeakRssMiB: peakRssMiB(found.central.process.pid),
    },
  };
}

/** Reads the whole ledger as it grows: each number of each lane once and in order. */
async function countLedger(
  central: CentralNode,
  total: number,
  signal: AbortSignal,
): Promise<{ recorded: number; duplicates: number; reordered: number }> {
  const newest = new Map<string, number>();
  const known = new Map<string, Set<number>>();
  const counted = { recorded: 0, duplicates: 0, reordered: 0 };
  let after = 0;
  let movedAt = performance.now();
  while (counted.recorded < total && performance.now() - movedAt < stalledMs && !signal.aborted) {
    const { messages } = await central.get<{ messages: Recorded[] }>(`/v1/messages?after=${after}&limit=5000`);
    for (const { site, lane, sequence, position } of messages) {
      after = position;
      const name = `${site}/${lane}`;
      const numbers = known.get(name) ?? new Set();
      known.set(name, numbers);
      if (numbers.has(sequence)) {
        counted.duplicates += 1;
        continue;
      }
      numbers.add(sequence);
      counted.recorded += 1;
      if (sequence < (newest.get(name) ?? 0)) counted.reordered += 1;
      else newest.set(name, sequence);
    }
    if (messages.length > 0) movedAt = performance.now();
    else await sleep(200);
  }
  return counted;
}

function told<Message>(process: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    process.once("message", (message) => resolve(message as Message));
    process.once("exit", (code) => reject(new Error(`a process of the storm ended with ${code}`)));
  });
}

function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function sumOf(records: readonly Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const record of records) for (const [name, count] of Object.entries(record)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

function peakRssMiB(pid: number): number {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmHWM:\s+(\d+) kB/);
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}
