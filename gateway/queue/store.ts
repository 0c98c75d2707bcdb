import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import {
  defaultQueuePolicy,
  durationMs,
  type EpochMs,
  type Lane,
  PlantgateError,
  type QueuePolicy,
} from "../../protocol/index.ts";
import { Admission, FrameWriter, type PackedRun, Staged } from "./append.ts";
import type { Change, Committed, Delivery, DiskReport, LanePosition, QueueDepth, QueueLane, StoredFrame } from "./change.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Deliveries } from "./deliveries.ts";
import { readDepth } from "./depth.ts";
import { Disk, type ReadSpace } from "./disk.ts";
import { openEpoch } from "./epoch.ts";
import { markPath } from "./file.ts";
import { type Fault, FrameReader, type ReadLimits } from "./frames.ts";
import { Keystore } from "./keystore.ts";
import { type LaneState, StagedLanes } from "./lane-state.ts";
import { FlushMark } from "./mark.ts";
import { type LostRange, openQueueFile } from "./open.ts";
import { RepeatWindow } from "./repeats.ts";
import { Retention } from "./retention.ts";
import type { KernelTime, RunningTime } from "./running-time.ts";
import { framePosition, sequenceAt } from "./schema.ts";
import { Sealing } from "./sealing.ts";
import { setAside } from "./set-aside.ts";
import { giveSpaceBack } from "./space.ts";
import { Statements } from "./statements.ts";

export interface StoreOptions {
  readonly path: string;
  readonly site: string;
  readonly kernel: KernelTime;
  readonly now: () => EpochMs;
  readonly readSpace?: ReadSpace;
}

/** What one flush takes: a change, judged by itself, or messages of one lane that need no judging. */
export type GroupEntry = { readonly change: Change } | { readonly run: PackedRun };

/** Of each entry of a group: what was written, or why nothing of it was. */
export type EntryOutcome = Committed | PlantgateError;

/**
 * The queue's file: SQLite in WAL mode with synchronous FULL, so that a commit is flushed before it returns (packaging/docs/ordering.md).
 * Synchronous; lives in the worker. It alone gives out sequences (rule 12).
 */
export class QueueStore {
  readonly #options: StoreOptions;
  readonly #db: DatabaseSync;
  readonly #lanes: Map<QueueLane, LaneState>;
  readonly #statements: Statements;
  readonly #running: RunningTime;
  readonly #sealing: Sealing;
  readonly #mark: FlushMark;
  readonly #repeats: RepeatWindow;
  readonly #deliveries: Deliveries;
  readonly #deadLetters: DeadLetters;
  readonly #retention: Retention;
  readonly #disk: Disk;
  readonly #admission: Admission;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  /** What opening found damaged. */
  readonly lost: readonly LostRange[];

  /**
   * Opens or makes the file, and commits a boot record before anything else can be read or acknowledged (rule 4).
   * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID, DISK_FAILED
   */
  constructor(options: StoreOptions) {
    this.#options = options;
    const { path, now, kernel } = options;
    const opened = openQueueFile(options);
    this.#db = opened.db;
    this.#lanes = opened.lanes;
    this.lost = opened.lost;
    this.#running = opened.running;
    this.#statements = new Statements(this.#db);
    this.#sealing = new Sealing(this.#db, new Keystore(dirname(path), now));
    this.#mark = new FlushMark(markPath(path));
    this.#repeats = new RepeatWindow(this.#statements);
    this.#deliveries = new Deliveries(this.#statements, this.#sealing, this.#running);
    this.#deadLetters = new DeadLetters(this.#statements, this.#sealing);
    this.#retention = new Retention(this.#statements, this.#running, {
      policy: defaultQueuePolicy,
      recoveryPointMs: this.#readRecoveryPoint(),
    });
    this.#disk = new Disk({ path, uptimeMs: () => kernel.uptimeMs(), readSpace: options.readSpace });
    this.#disk.keepReserve();
    this.#admission = new Admission(this.#retention, this.#disk);
    const shared = { statements: this.#statements, sealing: this.#sealing, running: this.#running };
    this.#writer = new FrameWriter({ ...shared, retention: this.#retention, disk: this.#disk, repeats: this.#repeats, now });
    this.#reader = new FrameReader({ ...shared, site: options.site });
    this.#mark.write(this.#lanes);
  }

  /** Budgets and sealing from the next commit on. */
  configure(policy: QueuePolicy): void {
    this.#retention.configure({ policy });
    this.#sealing.configure(policy.encryption.atRest ? durationMs(policy.encryption.rotateEvery) : undefined);
  }

  /** For how long central may lose what it acknowledged (rule 6); remembered for a start without a link. */
  keepAcknowledged(recoveryPointMs: number): void {
    this.#retention.configure({ recoveryPointMs });
    const upsert = "INSERT INTO meta VALUES ('recovery_point_ms', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    this.#statements.run(upsert, String(recoveryPointMs));
  }

  /** Changes that are each judged whole; the first refusal is thrown. For callers that write one thing at a time. */
  commit(changes: readonly Change[]): Committed[] {
    return this.commitGroup(changes.map((change) => ({ change }))).map((outcome) => {
      if (outcome instanceof PlantgateError) throw outcome;
      return outcome;
    });
  }

  /**
   * Applies the entries in one transaction and flushes it. When it returns, each of them is on disk whole, or refused whole.
   * @throws PlantgateError DISK_FAILED: the process has to end (rule 12)
   */
  commitGroup(entries: readonly GroupEntry[]): EntryOutcome[] {
    const blocked = this.#admission.refusals(this.#lanes);
    const refusals = entries.map((entry) => this.#admission.judge(entry, blocked));
    try {
      return this.#write(entries, refusals);
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    // no room: what others bring is refused, what the gateway notes of its own work is paid for by the reserve
    const full = new PlantgateError("QUEUE_FULL", "the disk has no room for the queue");
    const again = this.#disk.foundFull();
    const own = entries.map((entry, index) => refusals[index] ?? (isControl(entry) ? undefined : full));
    if (!again || own.every((refusal) => refusal !== undefined)) return entries.map(() => full);
    try {
      return this.#write(entries, own);
    } catch (error) {
      if (!isFull(error)) throw error;
      return entries.map(() => full);
    }
  }

  #write(entries: readonly GroupEntry[], refusals: readonly (PlantgateError | undefined)[]): EntryOutcome[] {
    if (refusals.every((refusal) => refusal !== undefined)) return refusals as PlantgateError[];
    const staged = new Staged(new StagedLanes(this.#lanes));
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const outcomes = entries.map((entry, index) => refusals[index] ?? this.#apply(entry, staged));
      const repeatsRow = this.#writer.write(staged);
      staged.lanes.write(this.#statements);
      this.#db.exec("COMMIT");
      staged.lanes.become(this.#lanes);
      if (repeatsRow !== undefined) this.#repeats.remember(repeatsRow, staged.entries);
      // never ahead of the disk: it is written after the flush, and not flushed itself
      if (staged.lanes.touched) this.#mark.write(this.#lanes);
      return outcomes;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#sealing.forget();
      if (isFull(cause) || cause instanceof PlantgateError) throw cause;
      throw new PlantgateError("DISK_FAILED", "the queue could not be written", { cause });
    }
  }

  #apply(entry: GroupEntry, staged: Staged): Committed {
    if ("run" in entry) {
      staged.appendRun(entry.run);
      return { appended: entry.run.count, repeats: 0, conflicts: [] };
    }
    const { change } = entry;
    if (change.releaseMarker)
      this.#statements.run(
        "DELETE FROM markers WHERE client = ? AND packet = ?",
        change.releaseMarker.client,
        change.releaseMarker.packetId,
      );
    if (change.marker) {
      const { client, packetId } = change.marker;
      const { changes } = this.#statements.run("INSERT OR IGNORE INTO markers VALUES (?, ?)", client, packetId);
      if (changes === 0) return { appended: 0, repeats: Math.max(1, change.messages?.length ?? 0), conflicts: [] };
    }
    const committed = staged.appendJudged(change, this.#repeats, (message) => this.#keepConflict(change, message));
    for (const { name, value } of change.cursors ?? []) {
      const upsert = "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
      this.#statements.run(upsert, name, value);
    }
    for (const letter of change.deadLetters ?? []) this.#deadLetters.write(letter);
    this.#deliveries.write(change);
    if (change.acknowledged) this.#acknowledge(change.acknowledged, staged.lanes);
    if (change.dispatched) {
      const { lane, upTo } = change.dispatched;
      const state = staged.lanes.touch(lane);
      if (lane === "inbound") this.#retention.taken(lane, state, state.dispatched, upTo);
      state.dispatched = Math.max(state.dispatched, upTo);
      this.#retention.prune(lane, state);
    }
    return committed;
  }

  #keepConflict(change: Change, message: { readonly line: string; readonly input?: number }): string {
    const id = randomUUID();
    this.#deadLetters.write({
      id,
      at: change.from?.receivedAt ?? this.#options.now(),
      direction: "in",
      connector: change.from?.connector ?? "",
      ...(change.from?.flow === undefined ? {} : { flow: change.from.flow }),
      place: change.from?.place ?? "",
      code: "KEY_CONFLICT",
      reason: "the same idempotency key was recorded before with other content; the first stands",
      body: change.inputs?.[message.input ?? 0] ?? Buffer.from(message.line),
      attempts: 0,
    });
    return id;
  }

  #acknowledge(ack: NonNullable<Change["acknowledged"]>, lanes: StagedLanes): void {
    const known = lanes.get(ack.lane);
    // an answer to a batch of an epoch that was closed meanwhile says nothing about this one
    if (ack.epoch !== known.epoch || ack.watermark <= known.acknowledged || ack.watermark >= known.next) return;
    // frames are acknowledged whole, whatever the other side counts
    const query =
      "SELECT position, count, chain FROM frames WHERE position <= ? AND position + count - 1 <= ? ORDER BY position DESC LIMIT 1";
    const at = framePosition(ack.lane, ack.watermark);
    const frame = this.#statements.get(query, at, at);
    const watermark = frame ? sequenceAt(frame.position as number) + (frame.count as number) - 1 : 0;
    if (!frame || watermark <= known.acknowledged || (frame.position as number) <= framePosition(ack.lane, 0)) return;
    const state = lanes.touch(ack.lane);
    this.#retention.taken(ack.lane, state, state.acknowledged, watermark);
    state.acknowledged = watermark;
    state.acknowledgedChain = Buffer.from(frame.chain as Uint8Array);
    this.#retention.noteAcknowledged(ack.lane, watermark);
    this.#retention.prune(ack.lane, state);
  }

  /** Frames on their way to central are not discarded (rule 7). */
  pin(lane: QueueLane, upTo: number): void {
    this.#retention.pin(lane, upTo);
  }

  /** Frames from the one with the message after `sequence` on, in order, at least one if there is any. What cannot be read is a hole from then on. */
  frames(lane: QueueLane, sequence: number, limits: ReadLimits): StoredFrame[] {
    for (;;) {
      const { frames, fault } = this.#reader.read(lane, this.#lane(lane), sequence, limits);
      const last = frames.at(-1);
      if (fault && !last) this.#setAside(lane, fault);
      else {
        if (limits.pin && last) this.pin(lane, last.first + last.count - 1);
        return frames;
      }
    }
  }

  #setAside(lane: QueueLane, fault: Fault): void {
    this.#transaction((lanes) => {
      setAside({ statements: this.#statements, sealing: this.#sealing }, lane, lanes.touch(lane), fault, {
        at: this.#options.now(),
        runMs: this.#running.now(),
      });
    });
    this.onSetAside?.({ lane, ...fault });
  }

  /** Told after a range was found unreadable and became a hole. */
  onSetAside?: (fault: Fault & { readonly lane: QueueLane }) => void;

  /**
   * Central holds other content under our sequences: what it has not acknowledged gets a new random epoch that names this one
   * (rule 4). Sequences and messages stay as they are; the chain begins anew.
   */
  openEpoch(lane: Lane): void {
    this.#transaction((lanes) => {
      openEpoch({ statements: this.#statements, sealing: this.#sealing, site: this.#options.site }, lane, lanes.touch(lane));
    });
  }

  /** What is left to delete, to discard by age and to give back, a bounded step of it. @returns whether there is more to do */
  maintain(): boolean {
    this.#disk.keepReserve();
    const more = this.#transaction((lanes) => {
      let left = false;
      for (const lane of this.#lanes.keys()) left = this.#retention.prune(lane, lanes.touch(lane)) || left;
      this.#retention.holdTelemetry(lanes.touch("telemetry"), 0, false, this.#options.now());
      return left;
    });
    return more || giveSpaceBack(this.#db);
  }

  #transaction<Result>(work: (lanes: StagedLanes) => Result): Result {
    const lanes = new StagedLanes(this.#lanes);
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const result = work(lanes);
      lanes.write(this.#statements);
      this.#db.exec("COMMIT");
      lanes.become(this.#lanes);
      return result;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#sealing.forget();
      if (isFull(cause)) throw new PlantgateError("QUEUE_FULL", "the disk has no room for the queue", { cause });
      throw cause instanceof PlantgateError
        ? cause
        : new PlantgateError("DISK_FAILED", "the queue could not be written", { cause });
    }
  }

  /** Epoch and positions of a lane, without looking at its frames. */
  position(lane: QueueLane): LanePosition {
    const { epoch, epochFirst, acknowledged, dispatched, next, pruned } = this.#lane(lane);
    return { epoch, epochFirst, acknowledged, dispatched, last: next - 1, pruned };
  }

  /** The chain's value at the last message that was deleted; undefined where a file of format 1 did not tell. */
  prunedChain(lane: QueueLane): string | undefined {
    return this.#lane(lane).prunedChain?.toString("hex");
  }

  depth(): QueueDepth {
    return readDepth(this.#db);
  }

  disk(): DiskReport {
    return this.#disk.look();
  }

  deliveryHeads(connector: string, limit: number): Delivery[] {
    return this.#deliveries.heads(connector, limit);
  }

  sentDeliveries(connector: string): Delivery[] {
    return this.#deliveries.sent(connector);
  }

  newerDelivery(delivery: Delivery): { readonly messageId: string } | undefined {
    return this.#deliveries.newer(delivery);
  }

  cursor(name: string): string | undefined {
    return this.#statements.get("SELECT value FROM cursors WHERE name = ?", name)?.value as string | undefined;
  }

  get database(): DatabaseSync {
    return this.#db;
  }

  close(): void {
    this.#db.close();
    this.#mark.close();
  }

  #lane(lane: QueueLane): LaneState {
    const state = this.#lanes.get(lane);
    if (!state) throw new PlantgateError("INVARIANT", `the queue has no lane ${lane}`);
    return state;
  }

  #readRecoveryPoint(): number {
    const stored = this.#statements.get("SELECT value FROM meta WHERE name = 'recovery_point_ms'")?.value;
    return stored === undefined ? defaultRecoveryPointMs : Number(stored);
  }
}

/** Until central says its own. */
const defaultRecoveryPointMs = 3_600_000;

function isControl(entry: GroupEntry): boolean {
  return "change" in entry && entry.change.control === true;
}

/** SQLITE_FULL (13): no room. Everything else that a commit throws is a failed disk. */
function isFull(error: unknown): boolean {
  return typeof error === "object" && error !== null && "errcode" in error && ((error.errcode as number) & 0xff) === 13;
}
