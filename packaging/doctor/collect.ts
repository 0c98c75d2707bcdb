import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { cpus, hostname, loadavg, release, totalmem, uptime } from "node:os";
import { join, relative } from "node:path";
import { lookIntoQueue, openReader } from "../../gateway/doctor/queue.ts";
import { version } from "../../gateway/version.ts";
import { parseJson } from "../../protocol/index.ts";
import { asOwner } from "../cli/installed.ts";
import { output } from "./command.ts";
import { describe, toJson } from "./describe.ts";
import type { Examined, prepare, Subject } from "./examine.ts";
import { harmless, harmlessKeys, redacted } from "./redact.ts";

/** One file of a bundle. */
export interface Part {
  readonly name: string;
  /** For the list of what is in it. */
  readonly about: string;
  readonly content: string;
}

const journalLines = 20_000;
const journalBytes = 8 * 1024 * 1024;
const mostFiles = 2000;

/** Facts for whoever helps from afar: states, counts and configuration; no message, no payload, no secret. */
export async function collect(subject: Subject, prepared: ReturnType<typeof prepare>, examined: Examined): Promise<Part[]> {
  const { dataDir, role } = subject;
  const inside = () => (prepared.shared.role === "gateway" ? gatewayParts(subject, prepared) : centralParts(prepared));
  const parts = [
    part("doctor.txt", "what plantgate doctor found", describe(examined)),
    part("doctor.json", "the same for programs", toJson(examined)),
    part("versions.json", "versions of the program, its tree, the package; the last upgrade", await versionsOf(subject)),
    part("settings.json", "settings of this machine", {
      dataDir,
      role,
      file: subject.said?.known ? subject.said.value : subject.said?.why,
    }),
    ...(await asOwner(dataDir, [], inside)),
    part("files.json", "names, sizes, owners, modes and times of the data folder's files", filesOf(dataDir)),
    part("machine.json", "system, memory, load, disks, time", await machineOf(dataDir)),
    ...(await serviceParts(subject)),
  ];
  return parts.map((each) => ({ ...each, content: redacted(each.content) }));
}

function part(name: string, about: string, content: unknown): Part {
  return { name, about, content: typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n` };
}

async function gatewayParts({ dataDir }: Subject, { shared }: ReturnType<typeof prepare>): Promise<Part[]> {
  if (shared.role !== "gateway") return [];
  const { facts } = shared;
  const [running, configuration, settings, secrets] = await Promise.all([
    facts.running(),
    facts.configuration(),
    facts.settings(),
    facts.secrets(),
  ]);
  const parts = [
    part("in-effect.json", "settings with which the gateway runs", settings.known ? settings.value : { unknown: settings.why }),
    part("status.json", "health, link, connectors and configuration, as the running gateway says it", running),
    part("queue.json", "how much waits: lanes, holes, deliveries, dead letters by code; counts only", queueOf(dataDir)),
    part(
      "secrets.json",
      "which secrets are named, and whether they have a value",
      secrets.known
        ? {
            damaged: secrets.value.damaged,
            names: Object.fromEntries([...secrets.value.values].map(([name, values]) => [name, values !== undefined])),
          }
        : { unknown: secrets.why },
    ),
  ];
  if (configuration.known) {
    const { bundle, state } = configuration.value;
    parts.push(part("configuration.json", "the configuration in effect; secrets by their names", { state, bundle }));
  } else parts.push(part("configuration.json", "the configuration in effect", { unknown: configuration.why }));
  return parts;
}

/** Counts; of dead letters also by code, connector and place, never a body or a key. */
function queueOf(dataDir: string): object {
  const look = lookIntoQueue(dataDir);
  if (!look.known) return { unknown: look.why };
  if (!look.value) return { none: true };
  using reader = openReader(dataDir);
  const deadLetters = new Map<string, number>();
  for (const { code, connector, direction } of reader.deadLetters.search({ limit: 100_000 })) {
    const name = `${direction} ${connector} ${code}`;
    deadLetters.set(name, (deadLetters.get(name) ?? 0) + 1);
  }
  const deliveries = new Map<string, number>();
  for (const { connector, state } of reader.deliveries.each().take(100_000)) {
    const name = `${connector} ${state}`;
    deliveries.set(name, (deliveries.get(name) ?? 0) + 1);
  }
  return {
    ...look.value,
    holes: look.value.depth.lanes.flatMap(({ lane }) => reader.holes(lane)).slice(0, 1000),
    deliveriesBy: Object.fromEntries(deliveries),
    deadLettersBy: Object.fromEntries(deadLetters),
  };
}

async function centralParts({ shared }: ReturnType<typeof prepare>): Promise<Part[]> {
  if (shared.role !== "central") return [];
  const { facts } = shared;
  const settings = facts.settings();
  const sites = (await facts.ask("/v1/sites")) as { sites?: Record<string, unknown>[] } | undefined;
  const shown = [
    "name",
    "condition",
    "reason",
    "lastHeardAt",
    "gatewayVersion",
    "reportedRevision",
    "desiredRevision",
    "configurationState",
  ];
  return [
    part("in-effect.json", "settings with which central runs", settings.known ? settings.value : { unknown: settings.why }),
    part("health.json", "what central answers to GET /health", (await facts.ask("/health")) ?? { unknown: "it does not answer" }),
    part(
      "sites.json",
      "each site's name and state; no message of it",
      sites?.sites?.map((site) => Object.fromEntries(shown.map((name) => [name, site[name]]))) ?? {
        unknown: "central does not tell",
      },
    ),
  ];
}

async function versionsOf({ here, role }: Subject): Promise<object> {
  const json = (path: string): unknown => {
    try {
      return here && parseJson(readFileSync(join(here.root, path), "utf8"));
    } catch {
      return undefined;
    }
  };
  return {
    program: version,
    node: process.versions.node,
    installed: here,
    manifest: json("current/manifest.json"),
    trial: json("trial.json"),
    lastUpgrade: json("last-upgrade.json"),
    package: (await output("dpkg-query", ["-W", "-f", "${Package} ${Version} ${Status}\n", `plantgate-${role}`]))?.trim(),
  };
}

function filesOf(dataDir: string): object[] {
  const files: object[] = [];
  try {
    for (const entry of readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
      if (files.length >= mostFiles) break;
      const path = join(entry.parentPath, entry.name);
      try {
        const { size, mode, uid, gid, mtime } = lstatSync(path);
        files.push({
          path: relative(dataDir, path),
          size,
          mode: (mode & 0o7777).toString(8),
          uid,
          gid,
          changedAt: mtime.toISOString(),
        });
      } catch {
        // gone meanwhile
      }
    }
  } catch (error) {
    files.push({ unknown: String(error) });
  }
  return files;
}

async function machineOf(dataDir: string): Promise<object> {
  const [disks, inodes, time, mounts] = await Promise.all([
    output("df", ["-PT"]),
    output("df", ["-Pi", dataDir]),
    output("timedatectl", ["show"]),
    output("findmnt", ["-T", dataDir, "-o", "TARGET,SOURCE,FSTYPE,OPTIONS"]),
  ]);
  const text = (file: string): string | undefined => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  const lines = (given: string | undefined): string[] | undefined => given?.trimEnd().split("\n");
  return {
    at: new Date().toISOString(),
    host: hostname(),
    kernel: release(),
    system: lines(text("/etc/os-release")),
    uptimeSeconds: Math.round(uptime()),
    load: loadavg(),
    processors: cpus().length,
    processor: cpus()[0]?.model,
    memoryBytes: totalmem(),
    memory: lines(text("/proc/meminfo")),
    pressure: lines(text("/proc/pressure/io")),
    nameServers: lines(text("/etc/resolv.conf")),
    time: lines(time),
    disks: lines(disks),
    inodes: lines(inodes),
    dataFolder: lines(mounts),
  };
}

async function serviceParts({ here }: Subject): Promise<Part[]> {
  if (!here) return [];
  const unit = here.unit;
  const [journal, state] = await Promise.all([
    output(
      "journalctl",
      ["-u", unit, "-u", "plantgate-gateway-upgrade", "-n", String(journalLines), "--no-pager", "-o", "short-iso"],
      15_000,
    ),
    output("systemctl", ["show", unit, `--property=${harmlessKeys.join(",")}`]),
  ]);
  return [
    ...(journal === undefined ? [] : [part("journal.txt", "the service's log, its last lines", lastBytes(journal))]),
    ...(state === undefined
      ? []
      : [part("service.txt", "what systemd says of the service; neither arguments nor environment", harmless(state))]),
  ];
}

function lastBytes(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= journalBytes) return text;
  const rest = bytes.subarray(bytes.length - journalBytes).toString("utf8");
  return rest.slice(rest.indexOf("\n") + 1);
}
