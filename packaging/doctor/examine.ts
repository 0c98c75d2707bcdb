import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { CentralFacts, centralChecks } from "../../central/doctor/doctor.ts";
import { refusedSettings as refusedByCentral } from "../../central/settings/refused.ts";
import { Facts, gatewayChecks } from "../../gateway/doctor/doctor.ts";
import { askNameServers } from "../../gateway/doctor/name-servers.ts";
import { refusedSettings as refusedByGateway } from "../../gateway/settings/refused.ts";
import { version } from "../../gateway/version.ts";
import {
  type Check,
  type CheckFinding,
  describeError,
  type Finding,
  fault,
  type Known,
  known,
  notKnown,
  PlantgateError,
  runChecks,
  stopping,
  systemClock,
  unchecked,
  warning,
} from "../../protocol/index.ts";
import { asOwner, type Installed, installed, machineRoot, type Role } from "../cli/installed.ts";
import { newerSettings } from "../cli/newer-settings.ts";
import { readSettingsFile } from "../cli/settings-file.ts";
import { machineChecks } from "./doctor.ts";
import { listListeners, whyNotListen } from "./listeners.ts";
import { lockHolder } from "./lock-holder.ts";
import type { Machine } from "./machine.ts";
import { listed } from "./named.ts";
import { readNtp } from "./ntp.ts";
import { readPlain } from "./plain-file.ts";
import { specialFiles } from "./special-files.ts";
import { withoutSymptoms } from "./symptoms.ts";
import { runningTree } from "./versions.ts";

export interface ExamineOptions {
  readonly role?: Role | undefined;
  readonly data?: string | undefined;
  readonly config?: string | undefined;
  /** Names of checks; empty: all. */
  readonly only?: readonly string[];
}

export interface Examined {
  readonly role: Role;
  readonly dataDir: string;
  readonly version: string;
  readonly at: string;
  readonly findings: readonly CheckFinding[];
  /** A check was given up and may still hold on to something. */
  readonly isUnfinished: boolean;
}

/** What is looked at: a role, its folder, what a package put here, what its settings' file says. */
export interface Subject {
  readonly role: Role;
  readonly dataDir: string;
  readonly here: Installed | undefined;
  readonly said: Known<Readonly<Record<string, unknown>>> | undefined;
  readonly configFile: string | undefined;
}

/** What the checks of a role share. */
type Shared = { readonly role: "gateway"; readonly facts: Facts } | { readonly role: "central"; readonly facts: CentralFacts };

const folderMs = 4000;
const versionMs = 2500;
const mostDocumentBytes = 64 * 1024 * 1024;

/**
 * @throws PlantgateError CONFIG_INVALID, USAGE where nobody can tell what is to be looked at
 */
export function subjectOf(options: ExamineOptions): Subject {
  const role = options.role ?? guessRole(options.data);
  let here: Installed | undefined;
  let broken: unknown;
  try {
    here = installed(role) ?? (wasInstalled(role) ? whereUsual(role) : undefined);
  } catch (error) {
    // a settings' file that cannot be read hides where the folder is, and is the first thing to say
    broken = error;
    here = whereUsual(role);
  }
  const root = machineRoot();
  const file =
    options.config ??
    (existsSync(join(root, "opt/plantgate", role, "versions")) ? join(root, "etc/plantgate", `${role}.yaml`) : undefined);
  const said =
    broken === undefined
      ? readSaid(options.data === undefined || options.config !== undefined ? file : undefined)
      : notKnown(messageOf(broken));
  const named = said?.known && typeof said.value.dataDir === "string" ? said.value.dataDir : undefined;
  const dataDir = resolve(options.data ?? named ?? here?.dataDir ?? join(root, "var/lib/plantgate", role));
  const isInstalled = here !== undefined && resolve(here.dataDir) === dataDir;
  // the installed folder's settings count, however it was named
  const own = isInstalled && said === undefined ? readSaid(here?.configFile) : said;
  return {
    role,
    dataDir,
    here: isInstalled ? here : undefined,
    said: own,
    configFile: file ?? (isInstalled ? here?.configFile : undefined),
  };
}

/** As a package has it where nothing else is said. */
function whereUsual(role: Role): Installed {
  const root = machineRoot();
  return {
    role,
    root: join(root, "opt/plantgate", role),
    configFile: join(root, "etc/plantgate", `${role}.yaml`),
    dataDir: join(root, "var/lib/plantgate", role),
    unit: `plantgate-${role}.service`,
    version: undefined,
  };
}

/** Versions are there, and none of them is current: whoever starts it finds nothing. */
function wasInstalled(role: Role): boolean {
  return existsSync(join(machineRoot(), "opt/plantgate", role, "versions"));
}

function guessRole(data: string | undefined): Role {
  if (data !== undefined)
    return ["signing-key.json", "ledger.db"].some((name) => existsSync(join(data, name))) ? "central" : "gateway";
  const root = join(machineRoot(), "opt/plantgate");
  return existsSync(join(root, "gateway/versions")) || !existsSync(join(root, "central/versions")) ? "gateway" : "central";
}

/** It says already what its cause says. */
function messageOf(error: unknown): string {
  return error instanceof PlantgateError ? error.message : describeError(error);
}

function readSaid(file: string | undefined): Subject["said"] {
  if (file === undefined) return undefined;
  if (!existsSync(file)) return notKnown(`${file} is missing`);
  try {
    return known(readSettingsFile(file));
  } catch (error) {
    return notKnown(messageOf(error));
  }
}

/** Puts the checks together; root's part of what they need is read now. */
export function prepare(subject: Subject): { readonly machine: Machine; readonly shared: Shared } {
  const { role, dataDir, here, configFile } = subject;
  const { said, passedOver } = asStarted(subject);
  const listeners = listListeners();
  const holder = lockHolder(join(dataDir, role === "gateway" ? "lock.sqlite" : "lock"));
  const pid = holder?.pid;
  const place = {
    dataDir,
    holder,
    said,
    passedOver,
    configFile,
    listeners,
    whyNotListen,
    isService: here !== undefined,
    clock: systemClock,
    ntp: readNtp,
  };
  if (role === "central") takePasswords(here, pid);
  const shared: Shared =
    role === "gateway"
      ? {
          role,
          facts: new Facts({
            ...place,
            // as root, where its owner may not be able to
            documents: readPlain(join(dataDir, "agent.db"), mostDocumentBytes),
            machineSecrets: machineSecrets(here, pid),
            authorities: authoritiesOf(pid),
            nameServers: (names, others) => askNameServers(names, { others }),
          }),
        }
      : { role, facts: new CentralFacts({ ...place, consoleDir: builtConsole() }) };
  const machine: Machine = {
    ...{ role, dataDir, here, pid, root: machineRoot(), clock: systemClock },
    isReady: () => {
      if (said && !said.known) return false;
      return role === "central" || (existsSync(join(dataDir, "gateway.json")) && !existsSync(join(dataDir, "moved-out")));
    },
    runningVersion: async () => {
      // one that hangs tells nothing, and is waited for elsewhere
      const over = new AbortController();
      const late = systemClock.sleep(versionMs, over.signal).then(() => undefined);
      const running = shared.role === "gateway" ? await Promise.race([shared.facts.running(), late]) : undefined;
      over.abort();
      return running?.kind === "running" ? running.health.version : runningTree(pid);
    },
  };
  return { machine, shared };
}

/** What a start makes of the settings' file: after a way back what only a newer version takes is passed over (ADR 0129, 0142). */
function asStarted({ role, said, configFile }: Subject): { said: Subject["said"]; passedOver: Finding | undefined } {
  if (!said?.known) return { said, passedOver: undefined };
  const refused = role === "gateway" ? refusedByGateway(said.value) : refusedByCentral(said.value);
  try {
    const { taken, passedOver } = newerSettings(role, said.value, refused);
    if (!passedOver) return { said, passedOver };
    const { names, newer } = passedOver;
    const seen = `version ${version} does not take ${names}, and goes on without: version ${newer} was here`;
    return { said: known(taken), passedOver: warning(seen, `Correct it in ${configFile}, or bring a version that takes it`) };
  } catch {
    // what is noted of versions cannot be read, and has a check of its own
    return { said, passedOver: undefined };
  }
}

/** Looks at everything, or at `only` some; root does so as the folder's owner where it looks into that. */
export async function examine(
  subject: Subject,
  { machine, shared }: ReturnType<typeof prepare>,
  only: readonly string[] = [],
): Promise<Examined> {
  const { role, dataDir } = subject;
  const ofMachine = machineChecks(machine);
  const ofRole = shared.role === "gateway" ? gatewayChecks(shared.facts) : centralChecks(shared.facts);
  const wanted = (checks: readonly Check[]): Check[] => checks.filter(({ name }) => only.length === 0 || only.includes(name));
  const trouble = await folderTrouble(dataDir);
  const special = trouble === "none" ? specialFiles(dataDir) : [];
  const findings =
    trouble === "none" || trouble === "denied"
      ? // what runs is asked by what a file of the folder says
        await runChecks(wanted(ofMachine.asCaller.filter(({ name }) => special.length === 0 || name !== "versions")), systemClock)
      : wanted(ofMachine.asCaller.filter(({ name }) => name === "service")).map(({ name }) => ({
          check: name,
          ...unchecked("the data folder has to be there first"),
        }));
  const inside = [...ofMachine.asOwner, ...ofRole];
  if (special.length > 0) {
    findings.push(
      ...wanted([...ofMachine.asCaller.filter(({ name }) => name === "versions"), ...inside]).map(({ name }) => ({
        check: name,
        ...unchecked(`${listed(special)} is no file, and is not waited for`),
      })),
    );
    findings.push({ check: "permissions", ...noFiles(dataDir, special) });
  } else if (trouble === "none") {
    findings.push(...(await asOwner(dataDir, [], () => runChecks(wanted(inside), systemClock))));
  } else if (trouble === "denied") {
    const why = `only root and its owner can look into ${dataDir}: run it with sudo`;
    findings.push(...wanted(inside).map(({ name }) => ({ check: name, ...unchecked(why) })));
  } else findings.push({ check: "disk", ...trouble });
  return {
    ...{ role, dataDir, version, at: new Date().toISOString(), findings: withoutSymptoms(findings) },
    isUnfinished: findings.some((each) => each.isUnfinished),
  };
}

function noFiles(dataDir: string, special: readonly string[]): Finding {
  return stopping(
    `neither files nor folders, but pipes or devices: ${listed(special)}`,
    `Move them out of ${dataDir} (who made them? lsof names who has them open), and restore what belongs there from a copy`,
  );
}

/** A disk that hangs holds up whoever looks at it: that it answers is seen first. */
async function folderTrouble(dataDir: string) {
  const over = new AbortController();
  const late = systemClock.sleep(folderMs, over.signal).then(() => "late" as const);
  try {
    const first = await Promise.race([readdir(dataDir), late]);
    if (first !== "late") return "none" as const;
    return fault(
      `${dataDir} does not answer within ${folderMs / 1000} s`,
      "Look at dmesg and at the disk (or the network file system) below it",
    );
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM") return "denied" as const;
    if (code === "ENOENT")
      return fault(`there is no folder ${dataDir}`, "Name the right one with --data; plantgate enroll makes one");
    return fault(`${dataDir} cannot be read: ${describeError(error)}`, "Look at dmesg, and check the disk");
  } finally {
    over.abort();
  }
}

/** What systemd hands over: of `/etc/plantgate/secrets`, which root alone may see; else what the process that runs was given. */
function machineSecrets(here: Installed | undefined, pid: number | undefined): ReadonlyMap<string, "filled" | "empty"> {
  const handed = "secrets_";
  if (here) return filledIn(join(machineRoot(), "etc/plantgate/secrets"));
  const given = pid === undefined ? process.env.CREDENTIALS_DIRECTORY : toldOf(pid, "CREDENTIALS_DIRECTORY");
  const names = given === undefined ? [] : [...filledIn(given)].filter(([name]) => name.startsWith(handed));
  return new Map(names.map(([name, state]) => [name.slice(handed.length), state]));
}

function filledIn(folder: string): Map<string, "filled" | "empty"> {
  try {
    return new Map(
      readdirSync(folder).flatMap((name): [string, "filled" | "empty"][] => {
        const file = join(folder, name);
        // systemd hands over what lies in a folder under another name, and a pipe would be waited for
        if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return [];
        return [[name, readFileSync(file, "utf8").trim() === "" ? "empty" : "filled"]];
      }),
    );
  } catch {
    return new Map();
  }
}

/** What the process that runs was told by NODE_EXTRA_CA_CERTS, else this one. */
function authoritiesOf(pid: number | undefined): string | undefined {
  const file = pid === undefined ? process.env.NODE_EXTRA_CA_CERTS : toldOf(pid, "NODE_EXTRA_CA_CERTS");
  if (file === undefined || file === "") return undefined;
  try {
    return [...rootCertificates, readFileSync(file, "utf8")].join("\n");
  } catch {
    return undefined;
  }
}

/**
 * The database's client reads its password where its environment says, and `sudo` hands none over: what the running central was told counts, else the file that
 * its units name. What this command was told goes before either.
 */
function takePasswords(here: Installed | undefined, pid: number | undefined): void {
  const told = (name: string): string | undefined => (pid === undefined ? undefined : toldOf(pid, name));
  const { PGPASSFILE, PGPASSWORD } = process.env;
  if (PGPASSFILE !== undefined || PGPASSWORD !== undefined) return;
  const password = told("PGPASSWORD");
  if (password !== undefined) process.env.PGPASSWORD = password;
  const usual = join(machineRoot(), "etc/plantgate/pgpass");
  const file = told("PGPASSFILE") ?? (here && existsSync(usual) ? usual : undefined);
  if (file !== undefined) process.env.PGPASSFILE = file;
}

function toldOf(pid: number, name: string): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return environment.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
  } catch {
    return undefined;
  }
}

/** Beside what is built, or in `dist` of the sources. */
function builtConsole(): string | undefined {
  const places = ["../../dist/console", "../console", "../../console"];
  return places
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((folder) => existsSync(join(folder, "index.html")));
}
