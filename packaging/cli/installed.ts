import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, posix, resolve, win32 } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { PlantgateError } from "../../protocol/index.ts";
import { readSettingsFile } from "./settings-file.ts";

export type Role = "gateway" | "central";

/** Where a package put what runs here (packaging/docs/operations.md, "Installed"). */
export interface Installed {
  readonly role: Role;
  /** `/opt/plantgate/ROLE`: versions, which of them is current, what came of the last upgrade. */
  readonly root: string;
  /** `/etc/plantgate/ROLE.yaml` */
  readonly configFile: string;
  /** As the settings say it, else `/var/lib/plantgate/ROLE`. */
  readonly dataDir: string;
  /** The systemd unit; on Windows the service. */
  readonly unit: string;
  /** Of the tree that is current; undefined where it does not say. */
  readonly version: string | undefined;
}

/** Before every path of an installed machine: a folder instead of `/`, for whoever looks into another root. */
export function machineRoot(): string {
  return process.env.PLANTGATE_ROOT ?? "/";
}

/** Where a role lies on a machine, whether it is installed there or not, and how its service is told what to do. */
export interface Place extends Omit<Installed, "version"> {
  readonly start: string;
  /** Now and with the machine. */
  readonly enable: string;
  readonly stop: string;
  /** It does not start with the machine any more. */
  readonly disable: string;
  readonly restart: string;
  /** Ends the trial of a version that nobody watches any more. */
  readonly settle: string;
  /** Where it writes what it says. */
  readonly logs: string;
}

export function placeOf(
  role: Role,
  system: NodeJS.Platform = process.platform,
  environment: NodeJS.ProcessEnv = process.env,
): Place {
  if (system === "win32") {
    // the installer asks Windows the same
    const base = win32.join(environment.ProgramData ?? "C:\\ProgramData", "Plantgate");
    const unit = `plantgate-${role}`;
    return {
      ...{ role, unit, start: `net start ${unit}`, enable: `net start ${unit}`, stop: `net stop ${unit}` },
      root: win32.join(environment.ProgramFiles ?? "C:\\Program Files", "Plantgate", role),
      configFile: win32.join(base, `${role}.yaml`),
      dataDir: win32.join(base, role),
      disable: `sc.exe config ${unit} start= disabled`,
      logs: win32.join(base, "logs", role),
      restart: `net stop ${unit}, then net start ${unit}`,
      settle: `run install.ps1 -Role ${role} of the version that is to stay, once more`,
    };
  }
  const root = environment.PLANTGATE_ROOT ?? "/";
  const unit = `plantgate-${role}.service`;
  return {
    ...{ role, unit, start: `systemctl start ${unit}`, enable: `systemctl enable --now ${unit}` },
    ...{ stop: `systemctl stop ${unit}`, disable: `systemctl disable ${unit}`, logs: `journalctl -u ${unit}` },
    restart: `systemctl restart ${unit}`,
    settle: `plantgate upgrade --settle --role ${role}`,
    root: posix.join(root, "opt/plantgate", role),
    configFile: posix.join(root, "etc/plantgate", `${role}.yaml`),
    dataDir: posix.join(root, "var/lib/plantgate", role),
  };
}

/** @returns undefined where no package of this role is installed */
export function installed(role: Role): Installed | undefined {
  const { root, configFile, dataDir, unit } = placeOf(role);
  if (!existsSync(join(root, "current"))) return undefined;
  const said = existsSync(configFile) ? readSettingsFile(configFile).dataDir : undefined;
  return {
    ...{ role, root, configFile, unit, dataDir: typeof said === "string" ? said : dataDir },
    version: versionOf(join(root, "current")),
  };
}

/** The place of a role that is installed here with this data folder. */
export function placeHere(role: Role, dataDir: string): Place | undefined {
  const here = installed(role);
  return here && resolve(here.dataDir) === resolve(dataDir) ? placeOf(role) : undefined;
}

/** `--data FOLDER`; where the role is installed here its folder is meant unless another is given. */
export function dataOption(command: Command, role: Role, description: string): Command {
  return command
    .option("--data <folder>", `${description} (default: that of the installed ${role})`)
    .hook("preAction", (_, action) => {
      if (action.opts().data === undefined) {
        const here = installed(role);
        if (here) action.setOptionValue("data", here.dataDir);
        else action.error("error: required option '--data <folder>' not specified");
      }
      requireOpen(String(action.opts().data));
    });
}

/**
 * Whoever forgot sudo is told that: to a user who may not enter a folder, all that lies in it looks as if it were not there.
 * @throws the system's error EACCES, with the folder
 */
export function requireOpen(dataDir: string): void {
  // root becomes its owner first, as on a disk of the network root may be less than that
  if (foreignOwner(dataDir)) return;
  try {
    // of a file that is no folder its command says so; root, too, may not enter one
    if (statSync(dataDir, { throwIfNoEntry: false })?.isDirectory()) accessSync(dataDir, constants.X_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") throw error;
  }
}

/** Root becomes the owner of a folder for good, so that nothing in it is left behind that its service cannot read. */
export function becomeOwner(dataDir: string): void {
  const owner = foreignOwner(dataDir);
  if (!owner) return;
  process.setgroups?.([owner.gid]);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
}

/**
 * The same for as long as `run` takes. `files` are read as root first, wherever they lie, and `run` gets copies that the owner can read;
 * what has to be written elsewhere is written afterwards.
 */
export async function asOwner<Value>(
  dataDir: string,
  files: readonly string[],
  run: (readable: readonly string[]) => Promise<Value>,
): Promise<Value> {
  const owner = foreignOwner(dataDir);
  if (!owner) return run(files);
  const contents = files.map((file) => readFileSync(file));
  const copies = files.map((_, index) => join(dataDir, `.given-${process.pid}-${index}`));
  process.setegid?.(owner.gid);
  process.seteuid?.(owner.uid);
  try {
    for (const [index, copy] of copies.entries()) writeFileSync(copy, contents[index] as Buffer, { mode: 0o600, flag: "wx" });
    return await run(copies);
  } finally {
    for (const copy of copies) rmSync(copy, { force: true });
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/**
 * A service can write in its unit's own folder alone, whatever its settings name.
 * @throws PlantgateError CONFIG_INVALID, before anything fails for that
 */
export function requireWritable(role: Role, dataDir: string): void {
  const own = process.env.STATE_DIRECTORY;
  if (own === undefined || own === resolve(dataDir)) return;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", onlyWritesIn(own, dataDir, `/etc/plantgate/${role}.yaml`), { cause });
  }
}

/** Starts the service now and with the machine, where this folder is the installed one's. @returns what a person is told */
export async function startService(role: Role, dataDir: string): Promise<string> {
  const here = placeHere(role, dataDir);
  if (!here) return `Start it with: plantgate ${role} --data ${dataDir}`;
  const { unit, configFile, dataDir: own } = here;
  if (process.platform !== "win32" && resolve(dataDir) !== own)
    return `${unit} was not started: ${onlyWritesIn(own, dataDir, configFile)}`;
  try {
    const [program = "", ...args] = here.enable.split(" ");
    await promisify(execFile)(program, args);
    return `${unit} runs, and starts with this machine. What it says: ${here.logs}`;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    return `${unit} did not start${stderr ? ` (${stderr.trim().split("\n")[0]})` : ""}. Try: ${here.enable}; ${here.logs}`;
  }
}

function onlyWritesIn(own: string, dataDir: string, configFile: string): string {
  return `the service cannot write in ${dataDir}, only in ${own}: take dataDir out of ${configFile}; to have the data on another disk, mount that disk at ${own}`;
}

function foreignOwner(dataDir: string): { readonly uid: number; readonly gid: number } | undefined {
  if (process.geteuid?.() !== 0 || !existsSync(dataDir)) return undefined;
  const { uid, gid } = statSync(dataDir);
  return uid === 0 ? undefined : { uid, gid };
}

function versionOf(tree: string): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(join(tree, "manifest.json"), "utf8")) as { version?: unknown };
    return typeof version === "string" ? version : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What the command line says, over what the settings' file says: the file that is named, else the installed one where no folder is named
 * either. Unknown keys are found by whoever judges the result.
 * @throws PlantgateError CONFIG_INVALID
 */
export function settingsOf(
  role: Role,
  config: string | undefined,
  said: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  // the service names the installed file
  const isInstalledFile = config === undefined || resolve(config) === placeOf(role).configFile;
  const here = isInstalledFile && said.dataDir === undefined ? installed(role) : undefined;
  const file = config ?? (here && existsSync(here.configFile) ? here.configFile : undefined);
  const settings = { ...(file === undefined ? {} : readSettingsFile(file)), ...defined(said) };
  if (settings.dataDir === undefined && here) settings.dataDir = here.dataDir;
  if (settings.dataDir === undefined)
    throw new PlantgateError("USAGE", "say where the data is: --data FOLDER, or dataDir in the file that --config names");
  return settings;
}

function defined(said: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}
