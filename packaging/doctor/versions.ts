import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { version } from "../../gateway/version.ts";
import { type Finding, fault, ok, parseJson, stopping, warning } from "../../protocol/index.ts";
import { type Installed, placeOf } from "../cli/installed.ts";
import { trial as trialRecord } from "../upgrade/records.ts";
import { startWithinMs } from "../upgrade/services.ts";
import { output } from "./command.ts";
import { isThisMachine, type Machine } from "./machine.ts";
import { listed } from "./named.ts";
import { unitState } from "./service.ts";

const weekMs = 7 * 86_400_000;

const isWindows = process.platform === "win32";
/** What no start can do without. */
const startParts = [...(isWindows ? ["bin/node.exe"] : ["bin/node", "bin/plantgate"]), "app/packaging/cli/launch.mjs"].map(
  (part) => `current/${part}`,
);
/** What nobody misses before the next upgrade. */
const upgradeParts = ["current/release-keys.pem", ...(isWindows ? [] : ["choose"])];

/** Program, its tree, what runs, the package and the unit: whether they are of one version. */
export async function checkVersions(machine: Machine): Promise<Finding[]> {
  const running = await machine.runningVersion();
  const { here } = machine;
  if (!here) {
    if (running !== undefined && running !== version)
      return [warning(`version ${running} runs, this program is ${version}`, "Look with the program that runs, or restart it")];
    return [ok(`${version} on Node.js ${process.versions.node}`)];
  }
  const tree = treeOf(here.root);
  const findings = tree ? judgeTree(here, tree, running) : [noProgram(here)];
  const trial = readJson(join(here.root, "trial.json"));
  if (tree) findings.push(...trialOf(machine, trial, tree.folder));
  const disagreement = isThisMachine(machine) ? await packaged(machine, tree?.folder, trial !== undefined) : [];
  const isOtherVersion = disagreement.some(({ level }) => level === "warning");
  // that dpkg names the version that was taken back is what is left of it, and so are that version's units
  findings.push(...disagreement, ...(isOtherVersion || !tree ? [] : lastUpgrade(machine, tree.folder)));
  if (isThisMachine(machine) && !isOtherVersion) findings.push(...(await unitOf(machine)));
  if (!tree || findings.length > 0) return findings;
  return [ok(`${tree.version} on Node.js ${tree.node}${trial ? `, on trial since ${String(trial.begun)}` : ""}`)];
}

interface Tree {
  readonly version: string;
  readonly node: string;
  readonly folder: string;
}

function noProgram({ root }: Installed): Finding {
  return stopping(`${join(root, "current")} holds no whole program`, "Install the package again, or plantgate upgrade FILE");
}

function judgeTree(here: Installed, tree: Tree, running: string | undefined): Finding[] {
  const findings: Finding[] = [];
  if (tree.version !== tree.folder)
    findings.push(fault(`the tree versions/${tree.folder} says that it is ${tree.version}`, "Install the package again"));
  else if (running !== undefined && running !== tree.version && !existsSync(join(here.root, "trial.json")))
    findings.push(fault(`version ${running} runs, ${tree.version} is installed`, placeOf(here.role).restart));
  findings.push(...missingParts(here.root));
  return findings;
}

function missingParts(root: string): Finding[] {
  const missing = (parts: readonly string[]): string =>
    listed(parts.map((part) => join(root, part)).filter((path) => !existsSync(path)));
  const findings: Finding[] = [];
  const now = missing(startParts);
  if (now !== "")
    findings.push(stopping(`the program is not whole, and does not start again without ${now}`, "Install the package again"));
  const later = missing(upgradeParts);
  if (later !== "")
    findings.push(fault(`the next upgrade is refused, or cannot be taken back, without ${later}`, "Install the package again"));
  return findings;
}

/** The version whose tree a process was started from; undefined where it was started from elsewhere. */
export function runningTree(pid: number | undefined): string | undefined {
  try {
    return /\/plantgate\/[a-z]+\/versions\/([^/]+)\//.exec(pid === undefined ? "" : readlinkSync(`/proc/${pid}/exe`))?.[1];
  } catch {
    return undefined;
  }
}

function treeOf(root: string): Tree | undefined {
  try {
    const folder = basename(realpathSync(join(root, "current")));
    const manifest = readJson(join(root, "current/manifest.json"));
    if (!manifest || !existsSync(join(root, "current/app"))) return undefined;
    return { version: String(manifest.version), node: String(manifest.node), folder };
  } catch {
    return undefined;
  }
}

/** A trial that nobody ends: whoever watched it is gone. */
function trialOf({ here, role, clock }: Machine, trial: Record<string, unknown> | undefined, current: string): Finding[] {
  if (!here || !existsSync(join(here.root, "trial.json"))) return [];
  const advice = placeOf(role).settle;
  const begun = Date.parse(String(trial?.begun));
  if (!trial || Number.isNaN(begun)) return [fault(`${join(here.root, "trial.json")} cannot be read`, advice)];
  if (trial.version !== current)
    return [fault(`version ${String(trial.version)} is noted to be on trial, and ${current} is current`, advice)];
  const watchMs = trialRecord.shape.watchMs.catch(0).parse(trial.watchMs);
  // a start, the watch, and as long again for what is not back yet
  if (clock.now() - begun < startWithinMs + 2 * watchMs) return [];
  return [fault(`version ${current} has been on trial since ${String(trial.begun)}, and nobody ends it`, advice)];
}

function lastUpgrade({ here, clock }: Machine, current: string): Finding[] {
  const last = here && readJson(join(here.root, "last-upgrade.json"));
  if (last?.outcome !== "rolled-back" || last.version === current || clock.now() - Date.parse(String(last.at)) > weekMs)
    return [];
  return [
    warning(
      `the upgrade to ${String(last.version)} was taken back: ${String(last.reason)}`,
      "Tell whoever gave you that version; what runs is the one before",
    ),
  ];
}

async function packaged({ role, here }: Machine, current: string | undefined, isOnTrial: boolean): Promise<Finding[]> {
  const said = await output("dpkg-query", ["-W", "-f", "${db:Status-Abbrev}|${Version}", `plantgate-${role}`]);
  if (said === undefined || isOnTrial) return [];
  const [status = "", debianVersion = ""] = said.split("|");
  const packageVersion = debianVersion.replace("~", "-");
  if (!/^[ih]i/.test(status))
    return [fault(`the package plantgate-${role} is not wholly installed (${status.trim()})`, "dpkg --configure -a")];
  if (current === undefined || packageVersion === current) return [];
  return [
    warning(
      `dpkg says version ${packageVersion}, and ${current} is installed${whyTakenBack(here, packageVersion)}`,
      `dpkg -i plantgate-${role}_${current.replace("-", "~")}_ARCH.deb makes them agree; or plantgate upgrade with the one that should run`,
    ),
  ];
}

function whyTakenBack(here: Machine["here"], version: string): string {
  const last = here && readJson(join(here.root, "last-upgrade.json"));
  return last?.outcome === "rolled-back" && last.version === version ? `: it was taken back, as ${String(last.reason)}` : "";
}

/** Changes belong into a drop-in (`systemctl edit`), which is none of our business. */
async function unitOf({ here }: Machine): Promise<Finding[]> {
  if (!here) return [];
  const { LoadState, FragmentPath: path = "" } = (await unitState(here.unit)) ?? {};
  const own = findFile(join(here.root, "current/install"), here.unit);
  // of one that is masked, or not known, the service's check speaks
  if (LoadState !== "loaded" || path === "" || own === undefined) return [];
  try {
    if (readFileSync(path, "utf8") === readFileSync(own, "utf8")) return [];
  } catch {
    return [];
  }
  return [
    warning(
      `${path} is not the unit of the version that is installed`,
      `Own changes belong into systemctl edit ${here.unit}; cp ${own} ${path} && systemctl daemon-reload`,
    ),
  ];
}

function findFile(folder: string, name: string): string | undefined {
  try {
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((path) => basename(path) === name);
    return found === undefined ? undefined : join(folder, found);
  } catch {
    return undefined;
  }
}

function readJson(file: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(readFileSync(file, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
