import { join } from "node:path";
import { isNoRoom } from "../../gateway/write-flushed.ts";
import { compareVersions, describeError, PlantgateError, toInstant } from "../../protocol/index.ts";
import type { Layout } from "./layout.ts";
import type { Machine } from "./machine.ts";
import { disagreement, makeOfficial } from "./official.ts";
import { type LastUpgrade, lastUpgrade, parseRecord, type Trial, trial, versionName } from "./records.ts";
import { type Verdict, Watch } from "./watch.ts";

/** What came of a trial; `stuck`: a person has to look, neither way is open. */
export type Outcome =
  | { readonly kind: "kept"; readonly version: string; readonly from: string }
  | { readonly kind: "rolled-back"; readonly version: string; readonly from: string; readonly reason: string }
  | { readonly kind: "stuck"; readonly version: string; readonly reason: string }
  /** The unit does not run: it is watched once somebody starts it. */
  | { readonly kind: "waits"; readonly version: string };

export interface TrialDeps {
  readonly layout: Layout;
  readonly machine: Machine;
  readonly tell: (line: string) => void;
}

const lookEveryMs = 1000;
/** So long systemd may be busy with itself, as while it is upgraded. */
const blindWithinMs = 5 * 60_000;
/** The gateway notes that it was well: so much is read of it. */
const markBytes = 100;

/** The version that is current. */
export function currentVersion({ layout, machine }: TrialDeps): string | undefined {
  return machine.pointsTo(layout.current);
}

export function readLast({ layout, machine }: TrialDeps): LastUpgrade | undefined {
  return parseRecord(lastUpgrade, machine.read(layout.last));
}

export function readTrial({ layout, machine }: TrialDeps): Trial | undefined {
  return parseRecord(trial, machine.read(layout.trial));
}

/**
 * Begins a trial: first the note of it, then the version is current. From the note on, every start counts; a cut before `current` moved leaves the
 * version before where it is.
 */
export function beginTrial(deps: TrialDeps, begun: Omit<Trial, "starts" | "mostStarts" | "begun">): Trial {
  const { layout, machine } = deps;
  const before = readLast(deps)?.begun;
  const now = machine.clock.now();
  // a clock that was set back must not give it the name of the one before, whose decision stands
  const name = before === toInstant(now) ? toInstant(now + 1) : toInstant(now);
  const noted: Trial = { ...begun, starts: 0, mostStarts: 3, begun: name };
  // the order of the keys does not count; one line does
  machine.write(layout.trial, `${JSON.stringify(noted)}\n`);
  try {
    machine.point(layout.current, `versions/${noted.version}`);
  } catch (error) {
    // one that is current all the same, as only the flush failed, stays on trial
    if (currentVersion(deps) !== noted.version) machine.remove(layout.trial);
    throw error;
  }
  return noted;
}

/** Of the tree of a version that lay here before it is brought once more; `gone`: on its way out. No version has such a name. */
const asidePattern = /^\.(.+)\.(before|gone)$/;

/** Makes room for a version's tree. One that lies here stays aside until the new one is kept: it may be the way back. */
export function putAside({ layout, machine }: TrialDeps, version: string): void {
  const tree = join(layout.versions, version);
  if (machine.exists(join(tree, "bin/plantgate"))) machine.rename(tree, join(layout.versions, `.${version}.before`));
  else machine.removeTree(tree);
}

/** Takes a version out: first its name, so that half a tree is never called whole; its files go with {@link settleAside}. */
export function takeOut({ layout, machine }: TrialDeps, version: string): void {
  const tree = join(layout.versions, version);
  if (!machine.exists(tree)) return;
  const gone = join(layout.versions, `.${version}.gone`);
  machine.removeTree(gone);
  try {
    machine.rename(tree, gone);
  } catch (error) {
    // not even for a name: this makes room
    if (!isNoRoom(error)) throw error;
    machine.removeTree(tree);
  }
}

/** What stays there for a fault of the disk, a mount or a mark of an administrator's keeps nothing waiting: that is told. */
function tellWhatStays({ tell }: TrialDeps, path: string, deletes: () => void): void {
  try {
    deletes();
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code !== "string") throw error;
    tell(`${path} could not be deleted, nothing needs it any more: ${describeError(error)}`);
  }
}

/** Ends what {@link putAside} began, once nothing is on trial in its place: what is current stays, else the tree of before comes back. */
export function settleAside(deps: TrialDeps): void {
  const { layout, machine } = deps;
  const current = currentVersion(deps);
  const onTrial = readTrial(deps)?.version;
  const at = (name: string): string => join(layout.versions, name);
  for (const name of machine.names(layout.versions)) {
    const [, version, state] = asidePattern.exec(name) ?? [];
    if (version === undefined || version === onTrial) continue;
    if (state === "before" && version !== current) {
      machine.removeTree(at(version));
      machine.rename(at(name), at(version));
      continue;
    }
    const gone = `.${version}.gone`;
    // half a tree is never called whole
    if (state === "before") {
      machine.removeTree(at(gone));
      machine.rename(at(name), at(gone));
    }
    tellWhatStays(deps, at(gone), () => machine.removeTree(at(gone)));
  }
}

/**
 * Ends what trial there is, whoever began it and wherever that was cut off: it is watched where nothing is decided yet.
 * @returns undefined where there is none
 */
export async function settle(deps: TrialDeps): Promise<Outcome | undefined> {
  const { layout, machine, tell } = deps;
  const found = readTrial(deps);
  if (!found) {
    if (machine.exists(layout.trial)) {
      tell("the note of a trial cannot be read and is removed: what is current is kept");
      machine.remove(layout.trial);
    }
    settleAside(deps);
    await removeWork(deps);
    return undefined;
  }
  const { version } = found;
  const decided = decisionOf(deps, found);
  if (decided?.outcome === "kept") return keep(deps, found);
  if (decided?.outcome === "rolled-back") return goBack(deps, found, decided.reason);
  if (currentVersion(deps) !== version)
    return goBack(deps, found, `the upgrade was cut off before version ${version} was current`);
  const mark = machine
    .readForeign(layout.dataDir, [`healthy-${version}`], markBytes)
    ?.toString("utf8")
    .trim();
  if (mark === found.begun) return keep(deps, found);
  return runTrial(deps, found);
}

/** Starts a version on trial where that was not done, watches it, and carries out what comes of it. */
export async function runTrial(deps: TrialDeps, found: Trial): Promise<Outcome> {
  const { layout, machine, tell } = deps;
  const { version, from, starts, watchMs } = found;
  if (starts === 0) {
    const { active } = await machine.look(layout.unit);
    // stopped between two starts it is called failed; and an older version waits for the ledger that a person restores
    const isBackByHand = !found.goesBack && compareVersions(version, from) < 0;
    if (isAtRest(active) && (active !== "failed" || isBackByHand)) return { kind: "waits", version };
    tell(`version ${version} is started`);
    const unready = await whyUnready(machine.restart(layout.unit));
    if (unready !== undefined) return goBack(deps, found, unready);
  }
  tell(`version ${version} is on trial, after ${from}: it is watched for ${watchMs / 1000} s`);
  const watch = new Watch(found);
  let sawAt = machine.clock.monotonic();
  for (;;) {
    // a start decided meanwhile, by the gateway's own mark
    if (decisionOf(deps, found)?.outcome === "kept") return keep(deps, found);
    let verdict: Verdict = { kind: "goes-on" };
    try {
      verdict = await lookOnce(deps, found, watch);
      sawAt = machine.clock.monotonic();
    } catch (error) {
      // nothing is told by that
      if (!(error instanceof PlantgateError) || machine.clock.monotonic() - sawAt > blindWithinMs) throw error;
    }
    if (verdict.kind === "well") return keep(deps, found);
    if (verdict.kind === "stopped") return { kind: "waits", version };
    if (verdict.kind === "unwell") return goBack(deps, found, verdict.reason);
    await machine.clock.sleep(lookEveryMs);
  }
}

/** Nothing of a unit runs, or is about to. Of an image that is being made, or of another root, systemctl says nothing. */
export function isAtRest(active: string): boolean {
  return ["inactive", "failed", ""].includes(active);
}

async function lookOnce(deps: TrialDeps, found: Trial, watch: Watch): Promise<Verdict> {
  const { layout, machine } = deps;
  // its starts were used up meanwhile
  if (currentVersion(deps) !== found.version)
    return { kind: "unwell", reason: decisionOf(deps, found)?.reason ?? "its starts were used up" };
  const unit = await machine.look(layout.unit);
  const health = unit.active === "active" ? await machine.health() : undefined;
  return watch.judge({ unit, health, at: machine.clock.monotonic() });
}

/** Of an upgrade that was cut off before it began; a package that a person was told to install stays. */
async function removeWork(deps: TrialDeps): Promise<void> {
  const { layout, machine } = deps;
  const current = currentVersion(deps);
  if (!machine.exists(layout.work) || readLast(deps)?.reason.includes(layout.work)) return;
  if (current !== undefined && (await disagreement(deps, current)) !== undefined) return;
  tellWhatStays(deps, layout.work, () => machine.removeTree(layout.work));
}

/** The decision is flushed before anything follows from it; what follows may be cut off, and is gone on with by {@link settle}. */
async function keep(deps: TrialDeps, found: Trial, reason = ""): Promise<Outcome> {
  const { layout, machine, tell } = deps;
  const { version, from } = found;
  decide(deps, found, "kept", reason);
  tell(`version ${version} is kept`);
  const missing = await makeOfficial(deps, found);
  const differs = missing === undefined ? await disagreement(deps, version) : undefined;
  if (differs) tell(differs.sentence);
  if (missing !== undefined)
    note(deps, {
      version,
      from,
      outcome: "kept",
      reason: [reason, missing].filter((each) => each !== "").join("; "),
      begun: found.begun,
    });
  // all of it as long as the note is there, by which a power cut is gone on with
  for (const name of machine.names(layout.versions))
    if (versionName.safeParse(name).success && name !== version && name !== from && compareVersions(name, version) < 0)
      tellWhatStays(deps, join(layout.versions, name), () => takeOut(deps, name));
  if (missing === undefined) tellWhatStays(deps, layout.work, () => machine.removeTree(layout.work));
  machine.remove(layout.trial);
  settleAside(deps);
  return { kind: "kept", version, from };
}

/** Back to the version before, with all that waits in the queue; or, where that way is not open, what a person has to do. */
export async function goBack(deps: TrialDeps, found: Trial, reason: string): Promise<Outcome> {
  const { layout, machine, tell } = deps;
  const { version, from } = found;
  if (decisionOf(deps, found)?.outcome === "kept") return keep(deps, found);
  const isCurrent = currentVersion(deps) === version;
  const wasStarted = isCurrent || found.starts > 0 || decisionOf(deps, found) !== undefined;
  const inTheWay = isCurrent ? whatBarsTheWayBack(deps, found) : undefined;
  if (inTheWay !== undefined) {
    await keep(deps, found, `${reason}; ${inTheWay}`);
    return { kind: "stuck", version, reason: `${reason}; ${inTheWay}` };
  }
  tell(`version ${version} is not kept: ${reason}`);
  try {
    decide(deps, found, "rolled-back", reason);
  } catch (error) {
    // a version that fills the disk is one that must go: the way back needs no room
    if (!isNoRoom(error)) throw error;
    tell("the disk is full: that cannot be noted");
  }
  if (isCurrent) machine.point(layout.current, `versions/${from}`);
  // whoever carried this out before may have been cut off just here: what runs may be either
  if (wasStarted) tell(`version ${from} is started again`);
  const unready = wasStarted ? await whyUnready(machine.restart(layout.unit)) : undefined;
  // one that a package manager brought is its own
  if (found.package !== undefined) tellWhatStays(deps, join(layout.versions, version), () => takeOut(deps, version));
  tellWhatStays(deps, layout.work, () => machine.removeTree(layout.work));
  machine.remove(layout.trial);
  settleAside(deps);
  const differs = await disagreement(deps, from);
  if (differs) tell(differs.sentence);
  if (unready !== undefined) return { kind: "stuck", version, reason: `${reason}; version ${from} was put back, and ${unready}` };
  return { kind: "rolled-back", version, from, reason };
}

/** Nothing is decided where the supervisor is gone, as in a power cut: whoever finds the trial goes on with it. */
async function whyUnready(restart: Promise<void>): Promise<string | undefined> {
  try {
    await restart;
    return undefined;
  } catch (error) {
    if (error instanceof PlantgateError && error.code === "PEER_UNREACHABLE") return error.message;
    throw error;
  }
}

function whatBarsTheWayBack({ layout, machine }: TrialDeps, { from, goesBack }: Trial): string | undefined {
  if (!goesBack)
    return `its database was brought to a schema that version ${from} does not open: repair what stands in its way, or ${backByHand(layout)}`;
  if (machine.exists(join(layout.versions, from, "bin/plantgate"))) return undefined;
  return `version ${from} is not on this machine any more: bring one that works (plantgate upgrade --allow-older FILE)`;
}

/** How a person goes back over a change of central's schema. */
export function backByHand({ unit, backups }: Layout): string {
  return `go back by hand: systemctl stop ${unit}; plantgate upgrade --role central --back --no-backup; plantgate restore --replace with the newest file of ${backups}; systemctl start ${unit}`;
}

/** What was decided of this trial, and perhaps not carried out. */
export function decisionOf(deps: TrialDeps, { begun }: Trial): LastUpgrade | undefined {
  const last = readLast(deps);
  return last?.begun === begun ? last : undefined;
}

function decide(deps: TrialDeps, found: Trial, outcome: LastUpgrade["outcome"], reason: string): void {
  const { version, from, begun } = found;
  if (decisionOf(deps, found)?.outcome === outcome) return;
  note(deps, { version, from, outcome, reason, begun });
}

/** Writes what came of an upgrade, for whoever asks and for central. */
export function note({ layout, machine }: TrialDeps, last: Omit<LastUpgrade, "at">): void {
  machine.write(layout.last, `${JSON.stringify({ ...last, at: toInstant(machine.clock.now()) })}\n`);
}
