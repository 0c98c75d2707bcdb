import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatVersion } from "../../gateway/queue/schema.ts";
import { version as ownVersion } from "../../gateway/version.ts";
import { durationMs, durationPattern, PlantgateError, systemClock } from "../../protocol/index.ts";
import { machineDisk } from "../upgrade/disk.ts";
import { maxPackageBytes, takeIncoming } from "../upgrade/incoming.ts";
import { installedRoles, type Layout, layoutOf } from "../upgrade/layout.ts";
import { lockUpgrades } from "../upgrade/lock.ts";
import { disagreement } from "../upgrade/official.ts";
import { machineServices } from "../upgrade/services.ts";
import { currentVersion, type Outcome, readLast, readTrial, settle, type TrialDeps } from "../upgrade/trials.ts";
import { begin, goBackByHand, otherVersions, type Package, upgrade } from "../upgrade/upgrade.ts";
import type { Role } from "./installed.ts";
import type { Run } from "./main.ts";
import { loadModule } from "./module.ts";

interface UpgradeFlags {
  readonly role?: Role;
  readonly watch: number;
  readonly allowOlder?: boolean;
  readonly backup: boolean;
  readonly status?: boolean;
  readonly back?: boolean;
  readonly settle?: boolean;
  readonly incoming?: boolean;
  readonly begin?: string;
  readonly facts?: boolean;
}

const longestWatchMs = 3_600_000;
/** A watch may last twice what was said, and half an hour more until what is watched has started. */
const lockWithinMs = 3 * longestWatchMs;
/** The service that settles looks for a moment after each upgrade: nobody is refused for that. */
const momentMs = 10_000;
/** One outcome, one exit code. */
const exitCodes = { kept: 0, waits: 0, "rolled-back": 3, stuck: 4 } as const satisfies Record<Outcome["kind"], number>;

export function addUpgradeCommand(program: Command, done: Run): void {
  program
    .command("upgrade")
    .description("Bring another version into effect on this machine: checked, watched, taken back by itself if it is not well.")
    .argument("[file]", "package (.deb or .tar.gz), its signature beside it as FILE.sig")
    .addOption(new Option("--role <role>", "what is upgraded; needed where both are installed").choices(["gateway", "central"]))
    .addOption(
      new Option("--watch <duration>", "how long the new version is watched before it is kept")
        .argParser(parseWatch)
        .default(60_000, "60s"),
    )
    .option("--allow-older", "the file may be of an older version than the one that runs")
    .option("--no-backup", "central: take no backup before, as there is one")
    .option("--status", "say what runs, what is on trial and what came of the last upgrade")
    .option("--back", "go back to the version before, which is still on this machine")
    .option("--settle", "end what an upgrade left open that was cut off: by a power cut, as a rule")
    .option("--incoming", "take the package that central offers and the gateway has fetched (its upgrade service runs this)")
    .option("--begin <version>", "put a version on trial whose tree is on this machine (the package's scripts run this)")
    .addOption(new Option("--facts", "what this version brings, as JSON").hideHelp())
    .addHelpText(
      "after",
      "\nExit codes: 0 the new version is kept, or there was nothing to settle; 1 refused, also where it runs already: what ran before runs on, undisturbed; 2 the command line is" +
        "\nwrong; 3 it was not well and was taken back: the version before runs; 4 a person has to look: what is said tells what to do." +
        "\nWhat waits in a gateway's queue is kept both ways. Central is backed up first, and goes back by itself only while its database's schema" +
        "\nis the same in both versions.",
    )
    .action(async (file: string | undefined, flags: UpgradeFlags, command: Command) => {
      const ways = [file, flags.status, flags.back, flags.settle, flags.incoming, flags.begin, flags.facts];
      if (ways.filter((way) => way !== undefined).length !== 1)
        command.error("error: give FILE, or one of --status, --back, --settle, --incoming, --begin");
      if (flags.facts) return printFacts();
      requireLinux();
      const layout = layoutOf(flags.role ?? requireRole());
      if (flags.status) return printStatus(layout);
      requireRoot();
      process.umask(0o022);
      outliveTerminal();
      done(await act(layout, file, flags));
    });
}

async function act(layout: Layout, file: string | undefined, flags: UpgradeFlags): Promise<number> {
  const tell = (line: string): void => void process.stderr.write(`${line}\n`);
  const deps: TrialDeps = { layout, machine: { clock: systemClock, ...machineDisk, ...machineServices(layout) }, tell };
  const { watch: watchMs, backup } = flags;
  // dpkg runs this within an upgrade, too: what is current needs nothing
  if (flags.begin !== undefined && machineDisk.pointsTo(layout.current) === flags.begin) return 0;
  if (!existsSync(layout.top))
    throw new PlantgateError("USAGE", `no ${layout.role} is installed here: ${layout.top} is not there`);
  // another one's watch may be under way; whoever gave a file is told, all others wait for it
  const waits = file === undefined && !flags.back;
  const unlock = lockUpgrades(layout.lock, waits ? lockWithinMs : momentMs, tell);
  try {
    if (flags.begin !== undefined) {
      const begun = await begin(deps, flags.begin, watchMs);
      if (begun === "begun") tell(`version ${flags.begin} is on trial; see: plantgate upgrade --status`);
      return 0;
    }
    if (file !== undefined)
      return report(await upgrade(deps, readPackage(file), { watchMs, backup, allowOlder: flags.allowOlder === true }));
    if (flags.back) return report(await goBackByHand(deps, { watchMs, backup }));
    const outcome = flags.incoming ? await takeIncoming(deps, { watchMs, backup }) : await settle(deps);
    if (outcome) return report(outcome);
    tell("there is nothing to do");
    return 0;
  } finally {
    unlock();
  }
}

function report(outcome: Outcome): number {
  process.stdout.write(`${sentenceOf(outcome)}\n`);
  return exitCodes[outcome.kind];
}

function sentenceOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case "kept":
      return `version ${outcome.version} runs and is kept; ${outcome.from} stays on this machine (plantgate upgrade --back)`;
    case "rolled-back":
      return `version ${outcome.from} runs again: ${outcome.version} was taken back, ${outcome.reason}`;
    case "waits":
      return `version ${outcome.version} is in place, and its service does not run: it is watched once that is started`;
    case "stuck":
      return `version ${outcome.version} is not well, and there is no way back by itself: ${outcome.reason}`;
  }
}

function readPackage(file: string): Package {
  const bytes = readBounded(file, maxPackageBytes);
  if (!existsSync(`${file}.sig`))
    throw new PlantgateError("SIGNATURE_INVALID", `${file}.sig is not there: the signature comes with the package`);
  return { name: basename(file), bytes, signature: readBounded(`${file}.sig`, 4096).toString("utf8") };
}

function readBounded(file: string, maxBytes: number): Buffer {
  let handle: number;
  try {
    handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read`, { cause });
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile() || stat.size > maxBytes)
      throw new PlantgateError("USAGE", `${file} is no file of at most ${maxBytes} bytes`);
    return readFileSync(handle);
  } finally {
    closeSync(handle);
  }
}

async function printStatus(layout: Layout): Promise<void> {
  const tell = (): void => {};
  const deps: TrialDeps = { layout, machine: { clock: systemClock, ...machineDisk, ...machineServices(layout) }, tell };
  const current = currentVersion(deps);
  const trial = readTrial(deps);
  const last = readLast(deps);
  // dpkg hears of a version on trial when it is kept
  const differs = current === undefined || trial ? undefined : await disagreement(deps, current);
  const lines = [
    `role      ${layout.role}`,
    `current   ${current ?? "none: nothing is installed"}`,
    `others    ${otherVersions(deps).join(", ") || "none"}`,
    `on trial  ${trial ? `${trial.version} after ${trial.from}, since ${trial.begun}, started ${trial.starts} times` : "none"}`,
    `last      ${last ? `${last.version} was ${last.outcome} at ${last.at}${last.reason === "" ? "" : `: ${last.reason}`}` : "none"}`,
    ...(differs ? [`dpkg      ${differs.sentence}`] : []),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function printFacts(): Promise<void> {
  const { schemaStep } = (await loadModule("central/main")) as { schemaStep: string };
  process.stdout.write(`${JSON.stringify({ version: ownVersion, queueFormat: formatVersion, schemaStep })}\n`);
}

/** A session that is lost is no reason to leave a version unwatched. */
function outliveTerminal(): void {
  process.on("SIGHUP", () => {});
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}

function requireRole(): Role {
  const roles = installedRoles();
  const [role] = roles;
  if (role === undefined) throw new PlantgateError("USAGE", "no package of Plantgate is installed here");
  if (roles.length > 1) throw new PlantgateError("USAGE", "say --role gateway or --role central: both are installed here");
  return role;
}

/** @throws PlantgateError USAGE */
function requireLinux(): void {
  if (process.platform === "linux") return;
  throw new PlantgateError(
    "USAGE",
    "this works on Linux. On Windows run install.ps1 of the archive of the version that is wanted, older or newer: it watches it, and takes it back if it is not well",
  );
}

function requireRoot(): void {
  if (process.geteuid?.() !== 0 && process.env.PLANTGATE_ROOT === undefined)
    throw new PlantgateError("USAGE", "programs are replaced by root alone: sudo plantgate upgrade …");
}

function parseWatch(value: string): number {
  if (!durationPattern.test(value)) throw new InvalidArgumentError("Give a duration such as 60s or 5m.");
  const ms = durationMs(value);
  if (ms < 1000 || ms > longestWatchMs) throw new InvalidArgumentError("Give a duration from 1s to 1h.");
  return ms;
}
