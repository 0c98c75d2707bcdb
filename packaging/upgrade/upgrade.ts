import { basename, join } from "node:path";
import { whatCounts } from "../../gateway/upgrade/well.ts";
import { compareVersions, describeError, PlantgateError, parseJson } from "../../protocol/index.ts";
import type { Role } from "../cli/installed.ts";
import type { Layout } from "./layout.ts";
import type { PackageKind } from "./machine.ts";
import { disagreement } from "./official.ts";
import { type Manifest, manifest, parseRecord, versionName } from "./records.ts";
import { keysOf, requireSigned } from "./signature.ts";
import { requireHarmlessTree } from "./tree.ts";
import {
  backByHand,
  beginTrial,
  currentVersion,
  decisionOf,
  isAtRest,
  note,
  type Outcome,
  putAside,
  readLast,
  readTrial,
  runTrial,
  settle,
  settleAside,
  type TrialDeps,
  takeOut,
} from "./trials.ts";

export interface Package {
  /** Bare name of the file. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Base64. */
  readonly signature: string;
  /** What it was said to be: a package of another version is refused. */
  readonly version?: string;
}

export interface UpgradeOptions {
  readonly watchMs: number;
  readonly allowOlder: boolean;
  /** Central is backed up before. */
  readonly backup: boolean;
}

/** Kept free beside what is unpacked. */
const spareBytes = 64 * 1024 * 1024;
const keptBackups = 3;
const backupWithinMs = 24 * 3_600_000;

/**
 * Brings a package's version into effect: verified, put beside the version that runs, checked, started, watched; kept or taken back.
 * Until `current` moves nothing that runs was touched.
 * @throws PlantgateError for what is refused; the version that runs was not disturbed
 */
export async function upgrade(deps: TrialDeps, given: Package, options: UpgradeOptions): Promise<Outcome> {
  const { layout, machine, tell } = deps;
  const from = await settledVersion(deps);
  requireSigned(given.bytes, given.signature, trustedKeys(deps));
  tell(`${given.name}: the signature holds`);
  let placed: string | undefined;
  try {
    const { version, tree, file } = await unpack(deps, given, from, options);
    await machine.flushTree(tree);
    putAside(deps, version);
    placed = version;
    machine.rename(tree, join(layout.versions, version));
    await check(deps, version);
    return await bring(deps, version, from, { ...options, package: basename(file) });
  } catch (error) {
    // refused, or no room for it; what failed later than that is on trial, or was
    if (machine.exists(layout.trial)) throw error;
    if (placed !== undefined && currentVersion(deps) === from) takeOut(deps, placed);
    settleAside(deps);
    machine.removeTree(layout.work);
    throw error;
  }
}

/** Back, by hand, to the version before, which is still on disk; on trial like any other. @throws as {@link upgrade} does */
export async function goBackByHand(deps: TrialDeps, options: Omit<UpgradeOptions, "allowOlder">): Promise<Outcome> {
  const from = await settledVersion(deps);
  const others = otherVersions(deps);
  const last = readLast(deps);
  const before = last?.version === from && last.outcome === "kept" ? last.from : undefined;
  const version = others.find((each) => each === before) ?? others.findLast((each) => compareVersions(each, from) < 0);
  if (version === undefined) throw new PlantgateError("USAGE", `there is no version before ${from} on this machine`);
  await check(deps, version);
  return bring(deps, version, from, { ...options, package: undefined });
}

/** Versions that lie here beside the current one, whole; the newest last. */
export function otherVersions(deps: TrialDeps): string[] {
  const { layout, machine } = deps;
  return machine
    .names(layout.versions)
    .filter((name) => versionName.safeParse(name).success && name !== currentVersion(deps))
    .filter((name) => machine.exists(join(layout.versions, name, "bin/plantgate")))
    .toSorted(compareVersions);
}

/** A package manager put a version's tree there: it becomes current; on trial, unless it is the first. Waits for nothing. */
export async function begin(deps: TrialDeps, version: string, watchMs: number): Promise<"placed" | "runs" | "begun"> {
  const { layout, machine } = deps;
  if (!machine.exists(join(layout.versions, version, "bin/plantgate")))
    throw new PlantgateError("USAGE", `there is no version ${version} in ${layout.versions}`);
  const current = currentVersion(deps);
  if (current === version) return "runs";
  const noted = readTrial(deps);
  const isOpen = noted?.version === current && noted !== undefined && decisionOf(deps, noted)?.outcome !== "kept";
  const open = isOpen ? noted : undefined;
  // one that is on trial itself has yet to show that it is worth going back to
  const from = open?.from ?? currentVersion(deps);
  if (open && from === version) {
    note(deps, { ...open, outcome: "rolled-back", reason: "the version before was installed again" });
    machine.point(layout.current, `versions/${version}`);
    machine.remove(layout.trial);
    await machine.tryRestart(layout.unit);
    return "placed";
  }
  if (from === undefined || !machine.exists(join(layout.versions, from, "bin/plantgate"))) {
    machine.point(layout.current, `versions/${version}`);
    return "placed";
  }
  // it has to come up to the version that it would go back to, not to one that is on trial itself
  const before = open?.before ?? whatCounts((await machine.health()) ?? {});
  const goesBack = await isWayBackOpen(deps, version, from);
  if (!goesBack) await backUp(deps);
  // whatever fails from here on, no version is current that was never kept and is on trial no more
  if (open) machine.point(layout.current, `versions/${from}`);
  try {
    beginTrial(deps, { version, from, watchMs, goesBack, before });
  } catch (error) {
    if (open) await machine.tryRestart(layout.unit);
    throw error;
  }
  await machine.tryRestart(layout.unit);
  await settleLater(deps);
  return "begun";
}

/** Whatever becomes of this process, as of a terminal that is gone: the service waits for it, and settles what it leaves. */
function settleLater({ layout, machine }: TrialDeps): Promise<void> {
  return machine.startLater(`plantgate-${layout.role}-upgrade.service`);
}

async function settledVersion(deps: TrialDeps): Promise<string> {
  const { layout, machine, tell } = deps;
  const outcome = await settle(deps);
  const open = outcome?.kind === "waits" ? readTrial(deps) : undefined;
  if (open && machine.exists(join(layout.versions, open.from, "bin/plantgate"))) {
    // nothing runs, and what waits has yet to show that it is worth going back to
    tell(`version ${open.version} was never watched, as its service does not run: it makes room for the next`);
    machine.point(layout.current, `versions/${open.from}`);
    machine.remove(layout.trial);
    settleAside(deps);
  }
  const from = currentVersion(deps);
  if (from === undefined)
    throw new PlantgateError("USAGE", `no ${layout.role} is installed here: ${layout.current} is not there`);
  // a note that names it could not be read again: there would be no way back
  if (!versionName.safeParse(from).success)
    throw new PlantgateError(
      "USAGE",
      `${layout.current} leads to "${from}", which is no version: lead it to one (ln -sfn versions/VERSION ${layout.current})`,
    );
  return from;
}

function trustedKeys({ layout, machine }: TrialDeps) {
  const own = machine.read(join(layout.current, "release-keys.pem")) ?? "";
  const more = machine
    .names(layout.trustedKeys)
    .filter((name) => name.endsWith(".pem"))
    .map((name) => machine.read(join(layout.trustedKeys, name)) ?? "");
  return [own, ...more].flatMap(keysOf);
}

async function unpack(
  deps: TrialDeps,
  { name, bytes, version }: Package,
  from: string,
  options: UpgradeOptions,
): Promise<{ readonly version: string; readonly tree: string; readonly file: string }> {
  const { layout, machine, tell } = deps;
  const kind = kindOf(bytes);
  machine.removeTree(layout.work);
  machine.makeFolder(layout.work);
  // a name of our own: the given one may hold anything
  const file = join(layout.work, kind === "deb" ? "package.deb" : "package.tar.gz");
  requireRoom(machine.freeBytes(layout.top), bytes.length);
  machine.writeBytes(file, bytes);
  const unpacked = await machine.unpackedBytes(file, kind);
  // dpkg unpacks it once more, when it is kept
  requireRoom(machine.freeBytes(layout.top), unpacked * (kind === "deb" ? 2 : 1));
  tell("it is unpacked");
  const top = join(layout.work, "unpacked");
  await machine.unpack(file, kind, top);
  const tree = treeIn(top, kind, layout, machine);
  const found = parseRecord(manifest, machine.read(join(tree, "manifest.json")));
  if (!found) throw new PlantgateError("INPUT_INVALID", `${name} holds no program of Plantgate: its manifest.json is not there`);
  if (version !== undefined && version !== found.version)
    throw new PlantgateError("INPUT_INVALID", `${name} holds version ${found.version}, not ${version}, which was asked for`);
  if (found.version === from) {
    const differs = await disagreement(deps, from);
    throw new PlantgateError("USAGE", `version ${from} runs already${differs ? `; ${differs.sentence}` : ""}`);
  }
  judge(found, layout.role, from, options);
  requireHarmlessTree(tree);
  return { version: found.version, tree, file };
}

/** ar's first bytes, or gzip's. */
function kindOf(bytes: Uint8Array): PackageKind {
  const start = Buffer.from(bytes.subarray(0, 8)).toString("latin1");
  if (start === "!<arch>\n") return "deb";
  if (start.startsWith("\x1f\x8b")) return "tar";
  throw new PlantgateError("INPUT_INVALID", "it is neither a .deb nor a .tar.gz");
}

function treeIn(top: string, kind: PackageKind, layout: Layout, machine: TrialDeps["machine"]): string {
  if (kind === "tar") return join(top, machine.names(top)[0] ?? "");
  const own = join(top, "opt/plantgate", layout.role);
  if (!machine.exists(own)) throw new PlantgateError("INPUT_INVALID", `it is not a package of plantgate-${layout.role}`);
  // packages of before
  const version = machine.names(join(own, "versions"))[0];
  return version === undefined ? join(own, "package") : join(own, "versions", version);
}

function judge({ version, platform, roles }: Manifest, role: Role, from: string, { allowOlder }: UpgradeOptions): void {
  const here = `${process.platform}-${process.arch}`;
  if (platform !== here) throw new PlantgateError("INPUT_INVALID", `it is for ${platform}, this machine is ${here}`);
  if (roles !== undefined && !roles.includes(role))
    throw new PlantgateError("INPUT_INVALID", `it is for ${roles.join(" and ")}, not for a ${role}`);
  if (compareVersions(version, from) < 0 && !allowOlder)
    throw new PlantgateError("USAGE", `version ${version} is older than ${from}, which runs: say --allow-older if it is meant`);
}

function requireRoom(free: number, needed: number): void {
  const miB = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
  if (free < needed + spareBytes)
    throw new PlantgateError("QUEUE_FULL", `the disk has ${miB(free)} free, ${miB(needed + spareBytes)} are needed: make room`);
}

/** The program says that it is what it should be, and can go on with what lies here; nothing is changed by that. */
async function check({ layout, machine, tell }: TrialDeps, version: string): Promise<void> {
  const program = join(layout.versions, version, "bin/plantgate");
  const told = (await machine.run(program, ["--version"])).trim();
  if (told !== version) throw new PlantgateError("INPUT_INVALID", `its program says that it is version ${told}, not ${version}`);
  if (layout.role !== "gateway" || !machine.exists(join(layout.dataDir, "queue.sqlite"))) return;
  await machine.run(program, ["queue", "judge", "--data", layout.dataDir]);
  tell(`version ${version} can open the queue`);
}

async function bring(
  deps: TrialDeps,
  version: string,
  from: string,
  { watchMs, backup, package: name }: Omit<UpgradeOptions, "allowOlder"> & { readonly package: string | undefined },
): Promise<Outcome> {
  const { layout, machine } = deps;
  // where nobody can say how the service is, nothing is begun
  const { active } = await machine.look(layout.unit);
  const goesBack = await isWayBackOpen(deps, version, from);
  if (!goesBack && compareVersions(version, from) < 0 && !isAtRest(active))
    throw new PlantgateError("USAGE", `version ${version} does not open the database as ${from} has it: ${backByHand(layout)}`);
  if (layout.role === "central" && backup) await backUp(deps);
  const before = whatCounts((await machine.health()) ?? {});
  const found = beginTrial(deps, { version, from, watchMs, goesBack, before, ...(name === undefined ? {} : { package: name }) });
  await settleLater(deps);
  return runTrial(deps, found);
}

/** A gateway's queue keeps the way back open; central's database does while both versions have the same schema. */
async function isWayBackOpen({ layout, machine, tell }: TrialDeps, version: string, from: string): Promise<boolean> {
  if (layout.role === "gateway") return true;
  const stepOf = async (each: string): Promise<string> =>
    machine.run(join(layout.versions, each, "bin/plantgate"), ["upgrade", "--facts"]).catch(describeError);
  const [next, before] = [await stepOf(version), await stepOf(from)];
  const [nextStep, stepBefore] = [next, before].map((said) => /"schemaStep":"([^"]+)"/.exec(said)?.[1]);
  const same = nextStep !== undefined && nextStep === stepBefore;
  if (!same) tell(`versions ${from} and ${version} have different schemas of the database: there is no way back but by a backup`);
  return same;
}

async function backUp({ layout, machine, tell }: TrialDeps): Promise<void> {
  tell("central is backed up");
  machine.makeFolder(layout.backups);
  const program = join(layout.current, "bin/plantgate");
  const args = ["backup", "--out", layout.backups, "--keep", String(keptBackups), "--output", "json"];
  const said = await machine.run(program, args, backupWithinMs);
  const { file = layout.backups } = (parseJson(said) ?? {}) as { file?: string };
  tell(`the backup is ${file}; it holds no keys of secrets, which stay in ${layout.dataDir}`);
}
