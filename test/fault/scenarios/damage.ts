import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { breakHeader, cutOff, type Damage, flipBits, queueFiles, zeroPages } from "../damage/damage.ts";
import { judgeReported } from "../judge/reported.ts";
import type { Rates } from "../load/load.ts";
import { backUp, restore } from "../plant/backup.ts";
import { Rig } from "../plant/rig.ts";
import { alarms } from "../plant/said.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

/** Without samples at QoS 2: what was marked as received may be among what is damaged. */
const rates: Rates = { finishedQos1: 700, finishedQos2: 0, shortages: 60, samplesQos1: 1500, samplesQos2: 0 };
/** A supervisor starts a process again that ended by itself. */
const mostStarts = 4;

interface Case {
  readonly name: string;
  readonly file: "database" | "wal" | "ledger" | "ledger-wal";
  readonly damage: Damage;
}
const cases: readonly Case[] = [
  { name: "queue, bits flipped", file: "database", damage: flipBits },
  { name: "queue's log, bits flipped", file: "wal", damage: flipBits },
  { name: "queue's log cut off", file: "wal", damage: cutOff },
  { name: "queue, pages zeroed", file: "database", damage: zeroPages },
  { name: "queue cut off", file: "database", damage: cutOff },
  { name: "queue, header broken", file: "database", damage: breakHeader },
  { name: "ledger, bits flipped", file: "ledger", damage: flipBits },
  { name: "ledger's log cut off", file: "ledger-wal", damage: cutOff },
];
const quickCases = new Set(["queue, bits flipped", "queue's log cut off", "ledger, bits flipped"]);

/** Bits that flip, files that end too early: what cannot be read any more is said, all else goes on. */
export const damage: Scenario = {
  name: "damage",
  purpose: "flipped bits and cut-off files, of the queue and of the ledger",
  needs: [],
  async run(context: Context): Promise<Outcome> {
    const { quick, only } = context;
    const chosen = cases.filter(({ name }) => (only === undefined ? !quick || quickCases.has(name) : name.includes(only)));
    if (chosen.length === 0) throw new Error(`no case is called "${only}"`);
    const entries: Record<string, unknown> = {};
    const findings: string[] = [];
    const sum = { acknowledged: 0, lost: 0, duplicates: 0, reordered: 0, reported: 0 };
    for (const [index, one] of chosen.entries()) {
      if (context.signal.aborted) break;
      context.say(one.name);
      const folder = join(context.folder, String(index));
      mkdirSync(folder);
      const { outcome, entry } = await tryCase(one, { ...context, folder, random: context.random.fork(one.name) });
      rmSync(folder, { recursive: true, force: true });
      entries[one.name] = entry;
      findings.push(...outcome.findings.map((finding) => `${one.name}: ${finding}`));
      sum.acknowledged += outcome.acknowledged;
      sum.lost += outcome.lost;
      sum.duplicates += outcome.duplicates;
      sum.reordered += outcome.reordered;
      sum.reported += outcome.reported;
    }
    const { reported, ...counts } = sum;
    return {
      ...counts,
      held: findings.length === 0,
      findings,
      entry: {
        acknowledged: sum.acknowledged,
        unreported: sum.lost,
        reported,
        duplicates: sum.duplicates,
        reordered: sum.reordered,
        cases: entries,
      },
    };
  },
};

interface CaseOutcome {
  readonly outcome: Pick<Outcome, "acknowledged" | "lost" | "duplicates" | "reordered" | "findings"> & { reported: number };
  readonly entry: Record<string, unknown>;
}

async function tryCase({ file, damage: harm }: Case, { folder, random, quick }: Context): Promise<CaseOutcome> {
  await using rig = await Rig.open({ folder });
  const load = rig.startLoad(rates);
  const findings: string[] = [];
  await sleep(quick ? 1200 : 2000);
  const isQueue = file === "database" || file === "wal";
  const backup = isQueue ? undefined : backUp(rig.central.dataDir, join(folder, "ledger.backup"));
  if (isQueue) rig.link.fault = (path) => (path.endsWith("/batches") ? { kind: "busy" } : { kind: "none" });
  await sleep(quick ? 1500 : 4000);

  const victim = isQueue ? rig.gateway : rig.central;
  // a process that is stopped folds its log into the database; one that is killed leaves it
  await victim.kill(file === "database" || file === "ledger" ? "SIGTERM" : "SIGKILL");
  const target = fileOf(rig, file);
  if (target === undefined) throw new Error(`there is no ${file} to damage`);
  const done = harm(target, random);

  const ends: string[] = [];
  let running = await tryStart(victim, ends);
  let restored = false;
  const said = new Set<string>();
  if (backup !== undefined && !(running && (await isReadable(rig)))) {
    // a ledger that says that it is damaged is restored, as the manual says
    for (const alarm of alarms(victim.process)) said.add(alarm);
    if (said.size === 0 && running) findings.push("the ledger cannot be read and no alarm was raised");
    await victim.kill("SIGTERM");
    restore(rig.central.dataDir, backup, { newIncarnation: true });
    restored = true;
    running = await tryStart(victim, ends);
  }
  if (!running) findings.push(`it does not start any more: ${ends.at(-1)}`);
  await using _supervisor = supervise(victim, ends);
  rig.link.fault = undefined;
  const before = load.acknowledged;
  await sleep(quick ? 1000 : 2000);
  if (load.acknowledged === before)
    findings.push(`nothing is acknowledged any more; it said: ${victim.process.output.slice(-3).join(" | ").slice(0, 1000)}`);
  const { outcome, judge } = await rig.judge({ settleMs: 20_000, stalledMs: 15_000, expectLosses: true });
  const reported = judgeReported(judge, rig.log);
  for (const alarm of alarms(victim.process)) said.add(alarm);
  if (reported.reported > 0 && said.size === 0) findings.push("messages are gone and no alarm was raised");
  findings.push(
    ...reported.findings,
    ...outcome.findings.filter((text) => !text.startsWith("lost of ") && !text.startsWith("central had acknowledged")),
  );
  if (outcome.duplicates > 0) findings.push(`${outcome.duplicates} messages are recorded twice`);
  if (outcome.reordered > 0) findings.push(`${outcome.reordered} messages are out of order`);
  const { acknowledged, duplicates, reordered } = outcome;
  return {
    outcome: { acknowledged, lost: reported.unreported, duplicates, reordered, reported: reported.reported, findings },
    entry: {
      done,
      acknowledged,
      reported: reported.reported,
      unreported: reported.unreported,
      holes: rig.log.holes.map(({ lane, first, last, reason }) => `${lane} ${first}-${last} ${reason}`).slice(0, 10),
      alarms: [...said],
      ...(restored ? { restored } : {}),
      ...(ends.length > 0 ? { ends } : {}),
    },
  };
}

/** Whether the whole ledger can be read. */
async function isReadable(rig: Rig): Promise<boolean> {
  try {
    for (let after: number | null = 0; after !== null; ) {
      const page: { next: number | null; gaps?: unknown } = await rig.central.get(`/v1/messages?after=${after}&limit=5000`);
      if (page.gaps !== undefined) return false;
      after = page.next;
    }
    return true;
  } catch {
    return false;
  }
}

/** Starts it anew when it ends by itself, as often as a supervisor does that gives up on what ends again and again. */
function supervise(node: Rig["gateway"] | Rig["central"], ends: string[]): AsyncDisposable {
  const over = new AbortController();
  const stopped = new Promise<"stopped">((resolve) => over.signal.addEventListener("abort", () => resolve("stopped")));
  const watching = (async () => {
    for (let start = 0; start < mostStarts; start++) {
      if ((await Promise.race([node.process.ended, stopped])) === "stopped") return;
      ends.push(node.process.output.at(-1)?.slice(0, 300) ?? "");
      await Promise.race([node.start().catch(() => {}), stopped]);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await watching;
    },
  };
}

/** Starts it, again where it ends by itself; its last words go to `ends`. */
async function tryStart(node: Rig["gateway"] | Rig["central"], ends: string[]): Promise<boolean> {
  for (let start = 0; start < mostStarts; start++) {
    const lives = await node.start().then(
      () => true,
      () => false,
    );
    const endedSoon = lives && (await Promise.race([node.process.ended.then(() => true), sleep(500).then(() => false)]));
    if (lives && !endedSoon) return true;
    ends.push(node.process.output.at(-1)?.slice(0, 300) ?? "");
  }
  return false;
}

function fileOf(rig: Rig, file: Case["file"]): string | undefined {
  if (file === "ledger") return join(rig.central.dataDir, "ledger.db");
  if (file === "ledger-wal") return join(rig.central.dataDir, "ledger.db-wal");
  const { database, wal } = queueFiles(rig.gateway.dataDir);
  return file === "database" ? database : wal;
}
