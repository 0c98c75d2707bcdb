import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { type ErrorCode, type Lane, PlantgateError, type QueuePolicy } from "../../protocol/index.ts";
import type { EntryOutcome, GroupEntry } from "./apply.ts";
import type { Committed, Delivery, DiskReport, NextFrames, QueueLane } from "./change.ts";
import { noteFailure } from "./damage.ts";
import type { DiscardedDeadLetters } from "./dead-letters.ts";
import type { Fault, ReadLimits } from "./frames.ts";
import type { SetAsideDiscarded } from "./kept-aside.ts";
import type { LostRange } from "./open.ts";
import { systemKernelTime } from "./running-time.ts";
import type { Salvaged } from "./salvage.ts";
import { QueueStore } from "./store.ts";

/** What the main thread asks; answered in order, groups of one turn by one flush. */
export type QueueRequest = { readonly id: number } & (
  | { readonly op: "commit"; readonly entries: readonly GroupEntry[]; readonly bytes: number }
  | { readonly op: "frames"; readonly lane: QueueLane; readonly after: number; readonly limits: ReadLimits }
  | { readonly op: "position"; readonly lane: QueueLane }
  | { readonly op: "next"; readonly lane: Lane; readonly after: number; readonly limits: ReadLimits }
  | { readonly op: "nextLeft"; readonly lane: Lane; readonly epoch: string; readonly after: number; readonly limits: ReadLimits }
  | { readonly op: "depth" | "disk" | "leftEpochs" }
  | { readonly op: "heads"; readonly connector: string; readonly limit: number; readonly skipped: readonly number[] }
  | { readonly op: "receivers" }
  | { readonly op: "delivery"; readonly deliveryId: number }
  | { readonly op: "sent"; readonly connector: string }
  | { readonly op: "newer"; readonly delivery: Delivery }
  | { readonly op: "cursor"; readonly name: string }
  | { readonly op: "pin"; readonly lane: QueueLane; readonly upTo: number }
  | { readonly op: "configure"; readonly policy: QueuePolicy }
  | { readonly op: "keepAcknowledged"; readonly recoveryPointMs: number }
  | { readonly op: "openEpoch"; readonly lane: Lane }
  | { readonly op: "forgetLeft"; readonly lane: Lane; readonly epoch: string }
  | { readonly op: "confirm"; readonly lane: Lane; readonly watermark: number }
  | { readonly op: "close" }
);

export interface QueueFailure {
  readonly code: ErrorCode;
  readonly message: string;
}
/** Of each entry; `plain`: appended as asked, nothing else to say. */
export type EntryReply = Committed | { readonly refused: QueueFailure } | "plain";

export type QueueReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly entries: readonly EntryReply[] | "plain" }
  | { readonly id: number; readonly error: QueueFailure }
  | { readonly notice: QueueNotice };

/** What the worker found by itself, for the log. */
export type QueueNotice =
  /** A range became a hole, or a field was mended. */
  | { readonly kind: "fault"; readonly lane: QueueLane; readonly fault: Fault }
  /** Flushed once, and gone when the file was opened. */
  | ({ readonly kind: "lost" } & LostRange)
  /** The file was damaged; what reads of it was carried over. */
  | ({ readonly kind: "salvaged" } & Salvaged)
  /** The full-disk ladder was climbed or left. */
  | ({ readonly kind: "disk" } & DiskReport)
  /** Sealing keys that nobody can open were put there. */
  | { readonly kind: "locked"; readonly file: string }
  /** More waits for these connectors than their budget; none: for no connector any more. */
  | { readonly kind: "heldUp"; readonly connectors: readonly string[] }
  | ({ readonly kind: "deadLettersDiscarded" } & DiscardedDeadLetters)
  | ({ readonly kind: "setAsideDiscarded" } & SetAsideDiscarded)
  /** A new sealing key is due and could not be written; the newest one goes on. */
  | { readonly kind: "keyDelayed"; readonly reason: string };

/** Of groups that share a flush: more would make the first wait for the last. */
const maxPerFlush = { entries: 4000, bytes: 4 * 1024 * 1024 };
/** How often what is due by time is looked at while nothing is asked. */
const maintainEveryMs = 1000;

const port = parentPort as MessagePort;
if (!port) throw new Error("the queue's worker runs as a worker thread only");
const { path, site, onTrial } = workerData as { path: string; site: string; onTrial: boolean };

function reply(message: QueueReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function failure(error: unknown): QueueFailure {
  noteFailure(path, error);
  const known = error instanceof PlantgateError ? error : new PlantgateError("DISK_FAILED", "the queue failed", { cause: error });
  const cause = known.cause instanceof Error ? `: ${known.cause.message}` : "";
  return { code: known.code, message: known.message + cause };
}

interface Group {
  readonly id: number;
  readonly entries: readonly GroupEntry[];
}

function flush(store: QueueStore, groups: readonly Group[]): void {
  try {
    const outcomes = store.commitGroup(groups.flatMap(({ entries }) => entries));
    let at = 0;
    for (const { id, entries } of groups) {
      const own = outcomes.slice(at, at + entries.length).map(toReply);
      at += entries.length;
      reply({ id, entries: own.every((each) => each === "plain") ? "plain" : own });
    }
  } catch (error) {
    // never a second try on this handle (rule 12): the main thread ends the process on anything but a full disk
    const failed = failure(error);
    for (const { id } of groups) reply({ id, error: failed });
  }
}

function toReply(outcome: EntryOutcome): EntryReply {
  if (outcome instanceof PlantgateError) return { refused: failure(outcome) };
  return outcome.repeats === 0 && outcome.conflicts.length === 0 && outcome.appended > 0 ? "plain" : outcome;
}

function answer(store: QueueStore, request: Exclude<QueueRequest, { op: "commit" }>): unknown {
  switch (request.op) {
    case "frames":
      return store.frames(request.lane, request.after, request.limits);
    case "position":
      return store.position(request.lane);
    case "next":
      return store.next(request.lane, request.after, request.limits);
    case "nextLeft":
      return store.nextLeft(request.lane, request.epoch, request.after, request.limits);
    case "leftEpochs":
      return store.leftEpochs();
    case "depth":
      return store.depth();
    case "disk":
      return store.disk();
    case "heads":
      return store.deliveryHeads(request.connector, request.limit, request.skipped);
    case "receivers":
      return store.receivers();
    case "delivery":
      return store.delivery(request.deliveryId);
    case "sent":
      return store.sentDeliveries(request.connector);
    case "newer":
      return store.newerDelivery(request.delivery);
    case "cursor":
      return store.cursor(request.name);
    case "pin":
      return store.pin(request.lane, request.upTo);
    case "configure":
      return store.configure(request.policy);
    case "keepAcknowledged":
      return store.keepAcknowledged(request.recoveryPointMs);
    case "openEpoch":
      return store.openEpoch(request.lane);
    case "forgetLeft":
      return store.forgetLeft(request.lane, request.epoch);
    case "confirm":
      return store.confirm(request.lane, request.watermark);
    case "close":
      return store.close();
  }
}

/** Buffers of frames go over without a copy. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (!Array.isArray(value)) return [];
  const own = (bytes: unknown): ArrayBuffer[] =>
    bytes instanceof Uint8Array && bytes.byteLength > 0 && bytes.byteLength === bytes.buffer.byteLength
      ? [bytes.buffer as ArrayBuffer]
      : [];
  return [
    ...new Set(value.flatMap((frame: { events?: unknown; inputs?: unknown }) => [...own(frame.events), ...own(frame.inputs)])),
  ];
}

/** Everything that has arrived, in order: commits that follow each other share a flush; what was asked after one sees it. */
function serve(store: QueueStore, first: QueueRequest): void {
  let groups: Group[] = [];
  let [entries, bytes] = [0, 0];
  const flushGroups = (): void => {
    if (groups.length > 0) flush(store, groups);
    [groups, entries, bytes] = [[], 0, 0];
  };
  for (
    let request: QueueRequest | undefined = first;
    request;
    request = receiveMessageOnPort(port)?.message as QueueRequest | undefined
  ) {
    if (request.op === "commit") {
      groups.push(request);
      entries += request.entries.length;
      bytes += request.bytes;
      if (entries >= maxPerFlush.entries || bytes >= maxPerFlush.bytes) flushGroups();
      continue;
    }
    flushGroups();
    try {
      const value = answer(store, request);
      const isNext = request.op === "next" || request.op === "nextLeft";
      const frames = isNext ? (value as NextFrames).frames : request.op === "frames" ? value : undefined;
      reply({ id: request.id, value }, buffersOf(frames));
    } catch (error) {
      reply({ id: request.id, error: failure(error) });
    }
    if (request.op === "close") return port.close();
  }
  flushGroups();
}

try {
  const store = new QueueStore({ path, site, onTrial, kernel: systemKernelTime(), now: () => Date.now() });
  const { lost, salvaged } = store.found;
  if (salvaged) reply({ notice: { kind: "salvaged", ...salvaged } });
  if (store.lockedKeys !== undefined) reply({ notice: { kind: "locked", file: store.lockedKeys } });
  for (const range of lost) reply({ notice: { kind: "lost", ...range } });
  const tellHeldUp = (connectors: readonly string[]): void => reply({ notice: { kind: "heldUp", connectors } });
  if (store.heldUp.length > 0) tellHeldUp(store.heldUp);
  store.onHeldUp = tellHeldUp;
  store.onDeadLettersDiscarded = (discarded) => reply({ notice: { kind: "deadLettersDiscarded", ...discarded } });
  store.onSetAsideDiscarded = (discarded) => reply({ notice: { kind: "setAsideDiscarded", ...discarded } });
  store.onKeyDelayed = (reason) => reply({ notice: { kind: "keyDelayed", reason } });
  store.onSetAside = ({ lane, ...fault }) => reply({ notice: { kind: "fault", lane, fault } });
  let maintenance: NodeJS.Timeout | undefined;
  let disk: DiskReport["state"] = "ok";
  const maintain = (): void => {
    let more = false;
    try {
      more = store.maintain();
    } catch (error) {
      // a full disk keeps its frames until there is room for the deletion; anything else is a failed disk
      if (!(error instanceof PlantgateError && error.code === "QUEUE_FULL")) return reply({ id: -1, error: failure(error) });
    }
    const report = store.disk();
    if (report.state !== disk) reply({ notice: { kind: "disk", ...report } });
    disk = report.state;
    maintenance = setTimeout(maintain, more ? 0 : maintainEveryMs);
    maintenance.unref();
  };
  port.on("message", (request: QueueRequest) => {
    serve(store, request);
    if (request.op === "close") clearTimeout(maintenance);
  });
  port.on("close", () => clearTimeout(maintenance));
  maintain();
  reply({ id: 0, value: "open" });
} catch (error) {
  reply({ id: 0, error: failure(error) });
}
