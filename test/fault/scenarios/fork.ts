import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { overwritten, type Snapshot, takeSnapshot } from "../fork/snapshot.ts";
import { Judge } from "../judge/judge.ts";
import { drain } from "../judge/ledger-reader.ts";
import { judgeReported } from "../judge/reported.ts";
import { Load, type Rates } from "../load/load.ts";
import { backUp, restore } from "../plant/backup.ts";
import { GatewayNode } from "../plant/gateway-node.ts";
import { claimPort } from "../plant/ports.ts";
import { Rig } from "../plant/rig.ts";
import { alarms } from "../plant/said.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const rates: Rates = { finishedQos1: 400, finishedQos2: 100, shortages: 60, samplesQos1: 800, samplesQos2: 80 };
/** A clone cannot have the broker's port: it takes in over its webhooks. */
const cloneRates: Rates = { finishedQos1: 0, finishedQos2: 0, shortages: 60, samplesQos1: 0, samplesQos2: 0 };

const quickTries = new Set(["clone", "rollback while offline", "restore", "restore behind the recovery point"]);

interface Found {
  readonly name: string;
  readonly acknowledged: number;
  /** Of messages with a key of their own. */
  readonly duplicates: number;
  /** Samples under a second name: an older disk sends again what it does not know to be sent. */
  readonly samplesAgain: number;
  readonly reordered: number;
  /** Acknowledged, not recorded, and in no reported range. */
  readonly unreported: number;
  /** Acknowledged, not recorded, in a range that was reported. */
  readonly reported: number;
  readonly overwritten: number;
  readonly alarms: readonly string[];
  readonly findings: readonly string[];
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Two histories under one name: a copied data folder, a disk image set back, a ledger from a backup. */
export const fork: Scenario = {
  name: "fork",
  purpose: "a data folder run twice, a gateway's disk set back, central restored from a backup",
  needs: [],
  async run(context: Context): Promise<Outcome> {
    const found: Found[] = [];
    const tries: readonly [string, (context: Context) => Promise<Found>][] = [
      ["clone", runTwice],
      ["rollback", (own) => setBack(own, { offline: false })],
      ["rollback while offline", (own) => setBack(own, { offline: true })],
      ["restore", (own) => restoreCentral(own, { newIncarnation: true, recoveryPointSeconds: undefined })],
      ["restore, incarnation kept", (own) => restoreCentral(own, { newIncarnation: false, recoveryPointSeconds: undefined })],
      ["restore behind the recovery point", (own) => restoreCentral(own, { newIncarnation: true, recoveryPointSeconds: 0 })],
    ];
    for (const [name, one] of tries) {
      if (context.signal.aborted || (context.quick && !quickTries.has(name))) continue;
      context.say(name);
      const folder = join(context.folder, name.replaceAll(/\W+/g, "-"));
      mkdirSync(folder);
      found.push({ ...(await one({ ...context, folder, random: context.random.fork(name) }).catch(failed)), name });
      rmSync(folder, { recursive: true, force: true });
    }
    const sum = (of: (one: Found) => number): number => found.reduce((total, one) => total + of(one), 0);
    const findings = found.flatMap(({ name, findings: own }) => own.map((text) => `${name}: ${text}`));
    const lost = sum(({ unreported }) => unreported);
    return {
      acknowledged: sum(({ acknowledged }) => acknowledged),
      lost,
      duplicates: sum(({ duplicates }) => duplicates),
      reordered: sum(({ reordered }) => reordered),
      held: findings.length === 0,
      findings,
      entry: {
        // missing where central and the gateway both go on: nothing but a range in the report may stand for a message
        swallowed: found.filter(({ name }) => !name.startsWith("restore")).reduce((total, one) => total + one.unreported, 0),
        overwritten: sum((one) => one.overwritten),
        unreported: lost,
        acknowledged: sum(({ acknowledged }) => acknowledged),
        reported: sum(({ reported }) => reported),
        duplicates: sum(({ duplicates }) => duplicates),
        samplesAgain: sum(({ samplesAgain }) => samplesAgain),
        reordered: sum(({ reordered }) => reordered),
        cases: Object.fromEntries(found.map(({ name, findings: _, ...rest }) => [name, rest])),
      },
    };
  },
};

function failed(error: unknown): Found {
  const text = error instanceof Error ? error.message : String(error);
  return { ...nothing, findings: [`failed: ${text.slice(0, 500)}`] };
}

const nothing: Found = {
  name: "",
  acknowledged: 0,
  duplicates: 0,
  samplesAgain: 0,
  reordered: 0,
  unreported: 0,
  reported: 0,
  overwritten: 0,
  alarms: [],
  findings: [],
};

/** (a) The folder is copied while the gateway is stopped; both copies run. The older one is fenced; a person then stops the clone. */
async function runTwice({ folder, quick, say }: Context): Promise<Found> {
  await using rig = await Rig.open({ folder });
  const load = rig.startLoad(rates);
  await sleep(quick ? 1000 : 4000);
  await rig.gateway.kill("SIGTERM");
  const copy = join(folder, "copy");
  cpSync(rig.gateway.dataDir, copy, { recursive: true });
  await rig.gateway.start();
  await rig.gateway.process.logged("link.session.began");
  await sleep(quick ? 500 : 2000);
  const before = await takeSnapshot(rig.central);

  say("clone: both run");
  await using clone = new GatewayNode({ ...rig.gateway.options, dataDir: copy, httpPort: await claimPort() });
  await clone.start();
  await using cloneLoad = new Load(clone, rig.floorPort, cloneRates, "c");
  await rig.gateway.process.logged("link.session.fenced");
  const fencedAlarms = alarms(rig.gateway.process);
  await sleep(quick ? 1500 : 6000);
  const fencedBooks = load.acknowledged;
  const findings = [...(await cloneLoad.finish(20_000)), ...(await load.finish(30_000))];
  const cloneJudge = new Judge(cloneLoad.books);
  if (!(await drain(rig.central, cloneJudge, { stalledMs: 20_000, isIdle: () => true })))
    findings.push("the clone's messages did not drain");
  const onFencedDisk = load.acknowledged;

  say("clone: a person decides");
  await clone.kill("SIGTERM");
  await rig.gateway.kill("SIGTERM");
  await rig.gateway.start({ args: ["--unfence"] });
  const judge = new Judge([...load.books, ...cloneLoad.books]);
  if (!(await drain(rig.central, judge, { stalledMs: 20_000, isIdle: idleFromNow(rig) })))
    findings.push("what the fenced gateway held did not drain");
  if (fencedAlarms.length === 0) findings.push("nobody was alarmed of the clone");
  return await conclude(rig, judge, {
    before,
    findings,
    alarms: fencedAlarms,
    more: { acknowledgedWhileFenced: onFencedDisk - fencedBooks, ofTheClone: cloneLoad.acknowledged },
  });
}

/** (b) The gateway's folder is replaced by an older image of it, as a virtual machine's snapshot does. */
async function setBack({ folder, quick, say }: Context, { offline }: { offline: boolean }): Promise<Found> {
  await using rig = await Rig.open({ folder });
  const load = rig.startLoad(rates);
  await sleep(quick ? 1000 : 4000);
  await rig.gateway.kill("SIGKILL");
  const image = join(folder, "image");
  cpSync(rig.gateway.dataDir, image, { recursive: true });
  await rig.gateway.start();
  await rig.gateway.process.logged("link.session.began");
  await sleep(quick ? 1000 : 4000);
  // what was acknowledged and not sent on would be gone with the disk, whatever anybody does: it is all sent first
  const before = await sendAll(rig, load);
  say(`${offline ? "rollback while offline" : "rollback"}: the disk is set back`);
  rmSync(rig.gateway.dataDir, { recursive: true });
  cpSync(image, rig.gateway.dataDir, { recursive: true });
  if (offline) rig.link.mode = "refused";
  await rig.gateway.start();
  await using more = new Load(rig.gateway, rig.floorPort, rates, "n");
  await sleep(quick ? 1500 : 5000);
  rig.link.mode = "open";
  await sleep(quick ? 1000 : 3000);
  const findings = await more.finish(30_000);
  const judge = new Judge([...load.books, ...more.books]);
  if (!(await drain(rig.central, judge, { stalledMs: 30_000, isIdle: idleFromNow(rig) })))
    findings.push("the backlog did not drain");
  const raised = alarms(rig.gateway.process);
  if (raised.length === 0) findings.push("nobody was alarmed that the disk is older than what was sent from it");
  return await conclude(rig, judge, { before, findings, alarms: raised });
}

/** (c) Central's ledger is replaced by a backup that is some seconds old. */
async function restoreCentral(
  { folder, quick, say }: Context,
  options: { newIncarnation: boolean; recoveryPointSeconds: number | undefined },
): Promise<Found> {
  const { recoveryPointSeconds } = options;
  await using rig = await Rig.open({
    folder,
    centralArgs: recoveryPointSeconds === undefined ? [] : ["--recovery-point", String(recoveryPointSeconds)],
  });
  const load = rig.startLoad(rates);
  await sleep(quick ? 1000 : 4000);
  const backup = backUp(rig.central.dataDir, join(folder, "ledger.backup"));
  await sleep(quick ? 2000 : 8000);
  say("restore: the ledger is set back");
  await rig.central.kill("SIGKILL");
  const raisedBefore = alarms(rig.gateway.process);
  restore(rig.central.dataDir, backup, options);
  rig.log.forgive();
  await rig.central.start();
  await sleep(quick ? 1500 : 6000);
  const findings = await load.finish(30_000);
  const judge = new Judge(load.books);
  if (
    !(await drain(rig.central, judge, {
      stalledMs: 20_000,
      isIdle: idleFromNow(rig),
      expectLosses: recoveryPointSeconds !== undefined,
    }))
  )
    findings.push("the backlog did not drain");
  const raised = [
    ...alarms(rig.central.process),
    ...alarms(rig.gateway.process).filter((event) => !raisedBefore.includes(event)),
  ];
  const found = await conclude(rig, judge, {
    before: new Map(),
    findings,
    alarms: raised,
    more: { backupWasOlderByMs: quick ? 2000 : 8000 },
  });
  if (recoveryPointSeconds === undefined && found.reported > 0)
    return { ...found, findings: [...found.findings, `${found.reported} messages within the recovery point did not come again`] };
  if (recoveryPointSeconds !== undefined && found.reported === 0)
    return { ...found, findings: [...found.findings, "nothing was lost: this case proves nothing"] };
  if (found.reported > 0 && raised.length === 0)
    return { ...found, findings: [...found.findings, "nobody was alarmed of the loss"] };
  return found;
}

function idleFromNow(rig: Rig): () => boolean {
  const now = performance.now();
  return () => rig.log.isIdle(rig.gateway.site, now);
}

/** Waits until the ledger holds all that was acknowledged; the gateway is killed at that. */
async function sendAll(rig: Rig, load: Load): Promise<Snapshot> {
  for (const finding of await load.finish(30_000)) throw new Error(finding);
  const judge = new Judge(load.books);
  if (!(await drain(rig.central, judge, { stalledMs: 30_000, isIdle: idleFromNow(rig) })))
    throw new Error("the backlog did not drain before the disk was set back");
  await rig.gateway.kill("SIGKILL");
  return takeSnapshot(rig.central);
}

async function conclude(
  rig: Rig,
  judge: Judge,
  found: { before: Snapshot; findings: readonly string[]; alarms: readonly string[]; more?: Record<string, unknown> },
): Promise<Found> {
  const verdict = judge.verdict();
  const duplicates = verdict.duplicates - verdict.samplesAgain;
  const reported = judgeReported(judge, rig.log);
  const changed = overwritten(found.before, await takeSnapshot(rig.central));
  return {
    name: "",
    acknowledged: verdict.acknowledged,
    duplicates,
    samplesAgain: verdict.samplesAgain,
    reordered: verdict.reordered,
    unreported: reported.unreported,
    reported: reported.reported,
    overwritten: changed.length + verdict.altered,
    alarms: found.alarms,
    ...(found.more ? { more: found.more } : {}),
    findings: [
      ...found.findings,
      ...reported.findings,
      ...(duplicates > 0 ? [`${duplicates} messages are recorded twice`] : []),
      ...(verdict.reordered > 0 ? [`${verdict.reordered} messages are out of order`] : []),
      ...(changed.length > 0 ? [`${changed.length} recorded messages were changed, such as ${changed[0]}`] : []),
      ...judge.findings().filter((text) => !text.startsWith("lost of") && !text.startsWith("recorded again: s")),
    ],
  };
}
