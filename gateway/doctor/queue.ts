import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  defaultQueuePolicy,
  describeError,
  type Finding,
  fault,
  type Known,
  known,
  notKnown,
  ok,
  PlantgateError,
  sizeBytes,
  stopping,
  unchecked,
  warning,
} from "../../protocol/index.ts";
import { readFence } from "../agent/fence.ts";
import { readMovedOut } from "../move/marks.ts";
import type { QueueDepth } from "../queue/change.ts";
import { codeOf, isDamage, isDoubted, isNotedAsDamaged } from "../queue/damage.ts";
import { markPath } from "../queue/file.ts";
import { QueueReader, queueFile } from "../queue/read.ts";
import type { Facts } from "./facts.ts";

const hourMs = 3_600_000;

/** What a look into the queue's file tells. */
export interface QueueLook {
  readonly depth: QueueDepth;
  /** Ranges that could not be read, kept aside for a person. */
  readonly setAside: number;
}

/** Undefined: the gateway has not run yet. */
export function lookIntoQueue(
  dataDir: string,
): Known<QueueLook | undefined> & { readonly code?: "newer" | "older" | "damaged" | "keystore" | "lost" } {
  const file = queueFile(dataDir);
  // the check of the settings says so
  if (readMovedOut(dataDir) !== undefined) return notKnown("its gateway was moved out of this folder");
  if (!existsSync(file) && existsSync(markPath(file)))
    return { ...notKnown(`${file} is missing, which was there before`), code: "lost" };
  if (!existsSync(file)) return known(undefined);
  if (isNotedAsDamaged(file)) return { ...notKnown("it was found damaged"), code: "damaged" };
  try {
    using reader = openReader(dataDir);
    reader.inspect();
    let setAside = 0;
    for (const _ of reader.setAside()) setAside += 1;
    return known({ depth: reader.depth(), setAside });
  } catch (error) {
    const why = describeError(error);
    // SQLite knows no such table (1): all that was in the file is gone
    if (isDamage(error) || codeOf(error) === 1) return { ...notKnown(why), code: "damaged" };
    if (!(error instanceof PlantgateError)) return notKnown(why);
    if (error.code === "FORMAT_NEWER") return { ...notKnown(error.message), code: "newer" };
    if (error.code === "DISK_FAILED") return { ...notKnown(error.message), code: "keystore" };
    return error.code === "CONFIG_INVALID" ? { ...notKnown(error.message), code: "older" } : notKnown(why);
  }
}

/** A file that was closed is looked at as it is: to open it otherwise makes files beside it. */
export function openReader(dataDir: string): QueueReader {
  const file = queueFile(dataDir);
  return new QueueReader(file, { frozen: !existsSync(`${file}-wal`) });
}

export async function checkQueue(facts: Facts): Promise<Finding[]> {
  const { dataDir } = facts.place;
  const findings = [...fenceOf(dataDir), ...keysOf(dataDir)];
  const look = await facts.queue();
  if (!look.known) return [...findings, await unreadable(facts, look)];
  if (!look.value) return [...findings, ok("there is none yet")];
  findings.push(...(await waiting(facts, look.value.depth)), ...forPeople(look.value));
  if (isDoubted(queueFile(dataDir)))
    findings.push(
      warning("something failed on its file: the next start looks all of it through first", "Restart the gateway when it suits"),
    );
  return findings.length > 0 ? findings : [ok(summary(look.value.depth))];
}

async function unreadable(facts: Facts, { why, code }: { readonly why: string; readonly code?: string }): Promise<Finding> {
  const running = await facts.running();
  if (code === "newer")
    return stopping(why, "plantgate upgrade FILE with the version that wrote it, or a newer one; nothing is lost meanwhile");
  if (code === "older" && running.kind === "stopped") return ok(why);
  if (code === "damaged")
    return fault(
      `its file is damaged: ${why}`,
      "Restart the gateway: it sets the file aside, carries over what can be read, and states the ranges that are lost. Look at the disk (dmesg, smartctl) before",
    );
  if (code === "lost")
    return fault(
      why,
      "Put it back if it was moved; else start the gateway, which begins anew and states the ranges that are lost",
    );
  if (code === "keystore") return stopping(why, "It holds what opens sealed messages: restore it before anything else");
  if (await facts.diskIsFull()) return unchecked("the disk is full");
  return unchecked(`it cannot be looked into: ${why}`);
}

function fenceOf(dataDir: string): Finding[] {
  const reason = readFence(join(dataDir, "fenced"));
  if (reason === undefined) return [];
  return [
    fault(
      `this gateway was fenced, as another one runs as its site: ${reason}`,
      "Find the other one (a clone, a restored snapshot) and stop it; then start the right one once with --unfence",
    ),
  ];
}

/** Sealed messages whose keys nobody can open. */
function keysOf(dataDir: string): Finding[] {
  const folder = join(dataDir, "keystore");
  try {
    const names = readdirSync(folder);
    const locked = names.some((name) => /^keys\.locked-\d+\.json$/.test(name));
    if (!locked && !(names.includes("keys.json") && !names.includes("wrapping.key"))) return [];
    return [
      fault(
        "keys of sealed messages are locked: the folder's own key (keystore/wrapping.key) is missing",
        "Stop the gateway, then plantgate queue recover-keys --recovery-key FILE, or restore keystore/",
      ),
    ];
  } catch {
    return [];
  }
}

async function waiting(facts: Facts, { lanes, deliveries }: QueueDepth): Promise<Finding[]> {
  const policy = (await facts.bundle())?.queue ?? defaultQueuePolicy;
  const findings: Finding[] = [];
  for (const { lane, waitingBytes } of lanes) {
    if (lane === "inbound") continue;
    const budget = sizeBytes(policy.lanes[lane].maxBytes);
    if (waitingBytes <= budget * 0.8) continue;
    const then = lane === "telemetry" ? "then the oldest samples are discarded" : "then its sources are refused";
    findings.push(
      warning(
        `${lane}: ${Math.round((100 * waitingBytes) / budget)} % of its budget waits; ${then}`,
        "Find out why it does not drain (central, link), or raise the budget in a policy",
      ),
    );
  }
  const central = await facts.central();
  const running = await facts.running();
  // what waits for a central that is away, or while the gateway stands, has its cause elsewhere
  const drains = central.skewMs !== undefined && running.kind === "running" && running.health.link === "online";
  const now = facts.place.clock.now();
  for (const { lane, oldestAt } of drains && Math.abs(central.skewMs ?? 0) < hourMs / 2 ? lanes : []) {
    if (oldestAt === null || lane === "inbound" || now - oldestAt < hourMs) continue;
    const stalled = running.kind === "running" ? running.health.stalled?.[lane] : undefined;
    findings.push(
      warning(
        `${lane}: the oldest message waits since ${new Date(oldestAt).toISOString()}${stalled === undefined ? ", though the link is up" : `: ${stalled}`}`,
        "plantgate queue list shows it; central's page of the site says what it last took",
      ),
    );
  }
  if (deliveries.unknown + deliveries.parked > 0)
    findings.push(
      warning(
        `${deliveries.unknown + deliveries.parked} deliveries wait for a person, and hold their keys`,
        "plantgate queue list undecided, then plantgate delivery retry, done or discard",
      ),
    );
  return findings;
}

function forPeople({ depth, setAside }: QueueLook): Finding[] {
  const findings: Finding[] = [];
  if (depth.deadLetters > 0)
    findings.push(warning(`${depth.deadLetters} dead letters`, "plantgate queue list dead shows them, with their reasons"));
  if (setAside > 0)
    findings.push(
      warning(`${setAside} ranges that could not be read are kept aside`, "plantgate queue list set-aside shows them"),
    );
  return findings;
}

function summary({ lanes, deliveries }: QueueDepth): string {
  const waits = lanes.map(({ lane, last, acknowledged, dispatched }) => last - (lane === "inbound" ? dispatched : acknowledged));
  return `${waits.reduce((sum, each) => sum + each, 0)} messages and ${deliveries.waiting} deliveries wait`;
}
