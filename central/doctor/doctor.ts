import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import {
  builtInYear,
  type Check,
  clockAdvice,
  describeError,
  type Finding,
  fault,
  judgeLock,
  listenerAt,
  ok,
  PlantgateError,
  parseJson,
  stopping,
  unchecked,
  warning,
} from "../../protocol/index.ts";
import { Keyring } from "../secret/keyring.ts";
import { SigningKey } from "../storage/signing-key.ts";
import { checkDatabase } from "./database.ts";
import { CentralFacts, type CentralPlace } from "./facts.ts";

const gibibyte = 1024 ** 3;
const tolerableMs = 60_000;

/** What a doctor asks of central; what every machine is asked stands in packaging/doctor. */
const table: readonly (Omit<Check, "run"> & { readonly run: (facts: CentralFacts) => Promise<readonly Finding[]> })[] = [
  { name: "settings", about: "settings are valid", limitMs: 5000, run: checkSettings },
  {
    name: "process",
    about: "the process that holds the data folder answers, and its lock is there",
    limitMs: 12_000,
    run: checkProcess,
  },
  { name: "disk", about: "room and inodes of the data folder's file system", limitMs: 10_000, run: checkDisk },
  {
    name: "clock",
    about: "a year before this program was made, a time before its files were written, NTP that does not get through",
    limitMs: 5000,
    run: checkClock,
  },
  { name: "names", about: "the database's host name resolves", limitMs: 12_000, run: checkNames },
  {
    name: "database",
    about:
      "the ledger is reached, whole, of a schema that this program knows and of this central's key; PostgreSQL keeps what it confirms",
    limitMs: 20_000,
    run: checkDatabase,
  },
  {
    name: "keys",
    about: "signing key, key of secrets and admin token are there, can be read, and central takes that token",
    limitMs: 12_000,
    run: checkKeys,
  },
  {
    name: "ports",
    about: "the port to listen on is free or central's own, at an address of this machine",
    limitMs: 12_000,
    run: checkPorts,
  },
  { name: "console", about: "the built console is there", limitMs: 5000, run: checkConsole },
  {
    name: "backup",
    about: "when the last backup was made, and whether central takes it for overdue",
    limitMs: 12_000,
    run: checkBackup,
  },
  { name: "sites", about: "how many sites are heard of, as a pointer", limitMs: 12_000, run: checkSites },
];

export function centralChecks(facts: CentralFacts): Check[] {
  return table.map(({ run, ...check }) => ({ ...check, run: () => run(facts) }));
}

async function checkSettings(facts: CentralFacts): Promise<Finding[]> {
  const findings = await judgeSettings(facts);
  const { passedOver } = facts.place;
  return passedOver ? [passedOver, ...findings.filter(({ level }) => level !== "ok")] : findings;
}

async function judgeSettings(facts: CentralFacts): Promise<Finding[]> {
  const { said } = facts.place;
  if (said && !said.known) return [said.denied ? unchecked(said.why) : stopping(said.why, "Restore the file, or correct it")];
  const settings = facts.settings();
  const where = facts.place.configFile === undefined ? "Correct it" : `Correct it in ${facts.place.configFile}`;
  return [
    settings.known ? ok("they are valid") : stopping(settings.why, `${where}; plantgate central --help names what there is`),
  ];
}

async function checkProcess(facts: CentralFacts): Promise<Finding[]> {
  const running = await facts.running();
  const lock = judgeLock(facts.place.holder);
  if (lock && running === "up") return [lock];
  if (running === "up") return [ok(`process ${facts.pid} answers at ${facts.url}`)];
  if (running === "silent" && facts.url === undefined)
    return [unchecked("where it listens is not known: its settings are not valid")];
  if (running === "silent" && facts.isToldWhere)
    return [
      fault(
        `process ${facts.pid} holds the data folder, and does not answer at ${facts.url}`,
        "It may be starting, or hang: look at its log; restart it if it stays so",
      ),
    ];
  if (running === "silent") return [ok(`process ${facts.pid} runs; where it listens is not known without its settings`)];
  if (facts.place.isService) return [unchecked("no central runs on this folder")];
  return [warning("no central runs on this folder", `Start it: plantgate central --data ${facts.place.dataDir}`)];
}

async function checkDisk({ place: { dataDir } }: CentralFacts): Promise<Finding[]> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(dataDir);
  const [free, size] = [bavail * bsize, blocks * bsize];
  const seen = `${Math.round(free / 1024 ** 2)} MiB of ${Math.round(size / 1024 ** 2)} MiB are free`;
  const advice = `Make room on the file system of ${dataDir}: central answers 503 when none is left, and gateways keep what they have`;
  if (free < Math.min(gibibyte / 4, size / 32)) return [fault(seen, advice)];
  if (files > 0 && ffree < 100) return [fault(`room for ${ffree} files more is left (inodes)`, advice)];
  if (free < Math.min(2 * gibibyte, size / 10)) return [warning(seen, advice)];
  return [ok(seen)];
}

async function checkClock({ place: { clock, ntp, dataDir } }: CentralFacts): Promise<Finding[]> {
  const now = new Date(clock.now()).toISOString();
  const state = await ntp();
  const advice = `${clockAdvice(state)}: gateways follow this clock`;
  if (new Date(now).getUTCFullYear() < builtInYear) return [fault(`it says ${now}`, advice)];
  const later = state === "kept" ? undefined : writtenAfter(dataDir, clock.now() + tolerableMs);
  if (later !== undefined) return [warning(`it says ${now}, and ${later}`, advice)];
  if (state === "failing") return [warning(`it says ${now}, and nothing keeps it: NTP does not get through`, advice)];
  return [ok(`it says ${now}${state === undefined ? "" : state === "kept" ? ", kept by NTP" : "; NTP is off"}`)];
}

/** What central wrote at a time that is yet to come: nobody else here tells what time it is. */
function writtenAfter(dataDir: string, time: number): string | undefined {
  try {
    for (const name of readdirSync(dataDir)) {
      const mtime = lstatSync(join(dataDir, name), { throwIfNoEntry: false })?.mtime;
      if (mtime && mtime.getTime() > time)
        return `${name} was written at ${mtime.toISOString()}: it is behind, or was ahead then`;
    }
  } catch {
    // a folder that is not ours to read: a matter of permissions
  }
  return undefined;
}

async function checkNames(facts: CentralFacts): Promise<Finding[]> {
  const host = facts.databaseHost();
  if (host === undefined) return [ok("only addresses are used")];
  if (await facts.resolves(host)) return [ok("resolves (the database)", host)];
  return [
    fault("the name does not resolve (the database)", `Correct it, or add it to /etc/hosts; try: getent hosts ${host}`, host),
  ];
}

/** Each only read: what is missing is made at a start, and then is another one. */
async function checkKeys(facts: CentralFacts): Promise<Finding[]> {
  const { place, hasRun } = facts;
  const { dataDir } = place;
  if (!hasRun) return [unchecked("central has not run on this folder yet")];
  const findings: Finding[] = [];
  const files = {
    "signing-key.json": () => SigningKey.open(dataDir),
    "secrets-key.json": async () => Keyring.open(dataDir),
    "admin.token": async () => {
      if (readFileSync(join(dataDir, "admin.token"), "utf8").trim() === "")
        throw new PlantgateError("DISK_FAILED", "it is empty");
    },
  };
  for (const [name, read] of Object.entries(files)) {
    if (!existsSync(join(dataDir, name))) {
      findings.push(
        fault(`${name} is missing`, "Restore it from the backup before central starts again: it would make another one", name),
      );
      continue;
    }
    try {
      await read();
    } catch (error) {
      const isDenied = [error, (error as Error).cause].some(
        (each) => (each as NodeJS.ErrnoException | undefined)?.code === "EACCES",
      );
      // what its cause says of the file's shape helps nobody
      const seen = error instanceof PlantgateError ? error.message : describeError(error);
      findings.push(isDenied ? unchecked(seen, name) : stopping(seen, "Restore it from the backup", name));
    }
  }
  if (findings.length === 0 && (await facts.isTokenRefused()))
    findings.push(
      fault(
        "central does not take it: it was changed since central started",
        "Put back the one that central was started with; or restart central, which takes this one from then on",
        "admin.token",
      ),
    );
  return findings.length > 0 ? findings : [ok("all are there")];
}

async function checkPorts(facts: CentralFacts): Promise<Finding[]> {
  const settings = facts.settings();
  if (!settings.known || !facts.place.said) return [unchecked("its port is not known")];
  const { host, port } = settings.value;
  if (!facts.place.listeners) return [unchecked("this system does not tell who listens")];
  const { pid } = facts;
  const listener = listenerAt(facts.place.listeners, { host, port, own: pid });
  const why = pid === undefined ? await facts.place.whyNotListen(host, port) : undefined;
  if (why !== undefined) return [stopping(why, "Give central an address of this machine, and a port from 1024 on")];
  if (!listener) return [ok(`port ${port} is free`)];
  if ((await facts.running()) === "up" && (listener.pid === undefined || listener.pid === pid))
    return [ok(`port ${port} is its own`)];
  if (listener.pid === pid) return [ok(`port ${port} is its own`)];
  const who = listener.pid === undefined ? "another process" : `process ${listener.pid} (${listener.command ?? "?"})`;
  return [stopping(`${who} listens on port ${port}`, "Stop that process, or give central another port")];
}

async function checkConsole(facts: CentralFacts): Promise<Finding[]> {
  const settings = facts.settings();
  if (!settings.known) return [unchecked(settings.why)];
  const folder = settings.value.consoleDir ?? facts.place.consoleDir;
  if (folder !== undefined && existsSync(join(folder, "index.html"))) return [ok(folder)];
  // from the sources it is built by hand, and only the API is served without
  if (folder === undefined && !facts.place.isService) return [unchecked("it is not built: only the API is served")];
  return [warning("the console is not there: only the API is served", "Install the package again, or correct consoleDir")];
}

/** For how long it may run without one its settings say, and it counts that itself. */
async function checkBackup(facts: CentralFacts): Promise<Finding[]> {
  const told = (await facts.running()) === "up" ? await facts.ask("/v1/backup") : undefined;
  const { overdue } = (told ?? {}) as { overdue?: unknown };
  if (typeof overdue === "string")
    return [
      warning(
        overdue,
        "Take one: plantgate backup --out FOLDER/; one each half hour: systemctl enable --now plantgate-central-backup.timer. Where the database's own backups serve: backupOverdueDays: 0",
      ),
    ];
  const file = join(facts.place.dataDir, "last-backup.json");
  const note = existsSync(file) ? (parseJson(readFileSync(file, "utf8")) as { takenAt?: unknown; file?: unknown }) : undefined;
  return [
    typeof note?.takenAt === "string"
      ? ok(`the last one was taken at ${note.takenAt}: ${String(note.file)}`)
      : unchecked("none is noted in the data folder"),
  ];
}

/** Which sites are silent is a matter of those sites: it is said here, and judged at the console. */
async function checkSites(facts: CentralFacts): Promise<Finding[]> {
  if ((await facts.running()) !== "up") return [unchecked("central does not run")];
  const { sites } = ((await facts.ask("/v1/sites")) ?? {}) as { sites?: { condition?: string }[] };
  if (!sites) return [unchecked("central does not tell")];
  const counts = new Map<string, number>();
  for (const { condition = "?" } of sites) counts.set(condition, (counts.get(condition) ?? 0) + 1);
  const each = [...counts].map(([condition, count]) => `${count} ${condition}`).join(", ");
  return [ok(sites.length === 0 ? "no site was added yet" : `${sites.length} sites: ${each}; the console says more`)];
}

export { CentralFacts, type CentralPlace };
