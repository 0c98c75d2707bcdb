import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { durationMs, type Lane, PlantgateError, type QueuePolicy } from "../../protocol/index.ts";
import type { EntryOutcome, GroupEntry } from "./apply.ts";
import type {
  Change,
  Committed,
  Delivery,
  DiskReport,
  LanePosition,
  NextFrames,
  QueueDepth,
  QueueLane,
  StoredFrame,
} from "./change.ts";
import { DeadLetters, type DiscardedDeadLetters } from "./dead-letters.ts";
import { Deliveries } from "./deliveries.ts";
import { readDepth } from "./depth.ts";
import { Disk, type ReadSpace } from "./disk.ts";
import { markPath, type OpenOptions } from "./file.ts";
import type { Fault, ReadLimits } from "./frames.ts";
import { GroupCommits } from "./group-commits.ts";
import { HeldUp } from "./held.ts";
import { KeptAside, type SetAsideDiscarded } from "./kept-aside.ts";
import { Keystore } from "./keystore.ts";
import { LaneReader } from "./lane-reader.ts";
import type { LaneState } from "./lane-state.ts";
import { forgetLeft, type LeftEpoch, noteLeft, readLeft } from "./left-epochs.ts";
import { FlushMark } from "./mark.ts";
import { type OpenedQueue, openQueueFile, refuseNewer } from "./open.ts";
import { beginEpoch, setBack } from "./positions.ts";
import { parseRememberedPolicy } from "./remembered-policy.ts";
import { Retention } from "./retention.ts";
import { Sealing } from "./sealing.ts";
import { giveSpaceBack, keepFreePages } from "./space.ts";
import { Statements } from "./statements.ts";
import { isQueueFull, Transactions } from "./transactions.ts";

export interface StoreOptions extends OpenOptions {
  readonly readSpace?: ReadSpace;
}

/** Until central says its own. */
const defaultRecoveryPointMs = 3_600_000;

/**
 * The queue's file: SQLite in WAL mode with synchronous FULL, so that a commit is flushed before it returns (packaging/docs/ordering.md).
 * Synchronous; lives in the worker. It alone gives out sequences (rule 12).
 */
export class QueueStore {
  readonly #options: StoreOptions;
  readonly #db: DatabaseSync;
  readonly #lanes: Map<QueueLane, LaneState>;
  readonly #statements: Statements;
  readonly #sealing: Sealing;
  readonly #mark: FlushMark;
  readonly #transactions: Transactions;
  readonly #deliveries: Deliveries;
  readonly #deadLetters: DeadLetters;
  readonly #retention: Retention;
  readonly #keptAside: KeptAside;
  readonly #disk: Disk;
  readonly #groups: GroupCommits;
  readonly #reader: LaneReader;
  readonly #heldUp: HeldUp;
  /** What opening found damaged, and what was carried over from a damaged file. */
  readonly found: Pick<OpenedQueue, "lost" | "salvaged">;
  /** Where sealing keys that nobody can open were put, at this start. */
  readonly lockedKeys: string | undefined;
  /** Told after a range was found unreadable and became a hole. */
  onSetAside?: (fault: Fault & { readonly lane: QueueLane }) => void;
  /** Told when other connectors than before have more waiting than their budget. */
  onHeldUp?: (connectors: readonly string[]) => void;
  /** Told when some of what was set aside is gone for good, as it took more than its bound. */
  onSetAsideDiscarded?: (discarded: SetAsideDiscarded) => void;
  onDeadLettersDiscarded?: (discarded: DiscardedDeadLetters) => void;
  /** Told when a new sealing key is due and could not be written. */
  onKeyDelayed?: (reason: string) => void;

  /**
   * Opens or makes the file, and commits a boot record before anything else can be read or acknowledged (rule 4).
   * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID, DISK_FAILED
   */
  constructor(options: StoreOptions) {
    this.#options = options;
    const { path, now } = options;
    refuseNewer(options);
    const keystore = new Keystore(dirname(path), now);
    this.lockedKeys = keystore.setLockedAside();
    keystore.onDelayed = (reason) => this.onKeyDelayed?.(reason);
    const opened = openQueueFile(options);
    this.#db = opened.db;
    this.#lanes = opened.lanes;
    this.found = opened;
    this.#statements = new Statements(this.#db);
    this.#sealing = new Sealing(this.#db, keystore);
    this.#mark = new FlushMark(markPath(path));
    this.#disk = new Disk({ ...options, uptimeMs: () => options.kernel.uptimeMs() });
    const { db, lanes, running } = opened;
    const shared = { statements: this.#statements, sealing: this.#sealing, lanes, running, now };
    this.#transactions = new Transactions({ ...shared, db, mark: this.#mark, disk: this.#disk });
    this.#deliveries = new Deliveries(this.#statements, this.#sealing, running);
    this.#deadLetters = new DeadLetters(this.#statements, this.#sealing);
    this.#disk.keepReserve();
    const policy = parseRememberedPolicy(this.#meta("policy") ?? "{}");
    const recoveryPointMs = Number(this.#meta("recovery_point_ms") ?? defaultRecoveryPointMs);
    this.#retention = new Retention(this.#statements, running, { policy, recoveryPointMs });
    this.#keptAside = new KeptAside(this.#statements, (lane) => this.#retention.maxBytes(lane));
    this.#seal(policy);
    const writing = { ...shared, transactions: this.#transactions, retention: this.#retention };
    this.#reader = new LaneReader({
      ...writing,
      onSetAside: (lane, fault) => {
        this.#keptAside.added(lane, fault.first);
        this.onSetAside?.({ lane, ...fault });
      },
    });
    const parts = { disk: this.#disk, deliveries: this.#deliveries, deadLetters: this.#deadLetters };
    this.#groups = new GroupCommits({ ...writing, ...parts });
    this.#heldUp = new HeldUp(this.#statements);
    this.#lookForHeldUp();
    this.#transactions.note();
  }

  /** Budgets and sealing from the next commit on; remembered for the next start, which has no configuration at first. */
  configure(policy: QueuePolicy): void {
    this.#remember("policy", JSON.stringify(policy));
    this.#retention.configure({ policy });
    this.#seal(policy);
    this.#lookForHeldUp();
  }

  /**
   * A session with central begins, which may lose for so long what it acknowledged (rule 6); remembered for a start without a link. Nothing is
   * let go of until `confirm` says of its lane what central has.
   */
  keepAcknowledged(recoveryPointMs: number): void {
    this.#remember("recovery_point_ms", String(recoveryPointMs));
    this.#retention.configure({ recoveryPointMs });
    this.#retention.sessionBegins();
  }

  #seal({ encryption }: QueuePolicy): void {
    this.#sealing.configure(encryption.atRest ? durationMs(encryption.rotateEvery) : undefined);
  }

  #meta(name: string): string | undefined {
    return this.#statements.get("SELECT value FROM meta WHERE name = ?", name)?.value as string | undefined;
  }

  /** What has no room is in effect all the same, and remembered with the next time. */
  #remember(name: string, value: string): void {
    if (this.#meta(name) === value) return;
    const upsert = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    try {
      this.#transactions.run(() => void this.#statements.run(upsert, name, value));
    } catch (error) {
      if (!isQueueFull(error)) throw error;
    }
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
    const { outcomes, discarded, deliveriesChanged } = this.#groups.commit(entries);
    for (const each of discarded) this.onDeadLettersDiscarded?.(each);
    if (deliveriesChanged) this.#lookForHeldUp();
    return outcomes;
  }

  #lookForHeldUp(): void {
    if (this.#heldUp.look(this.#retention.heldBudgets.deliveryBytes)) this.onHeldUp?.(this.#heldUp.connectors);
  }

  /** Connectors for which more waits than their budget. */
  get heldUp(): readonly string[] {
    return this.#heldUp.connectors;
  }

  /** Frames on their way to central are not discarded (rule 7). */
  pin(lane: QueueLane, upTo: number): void {
    this.#retention.pin(lane, upTo);
  }

  /**
   * Frames from the one with the message after `sequence` on, in order, at least one if there is any. What cannot be read is a hole from
   * then on.
   * @throws PlantgateError QUEUE_FULL: a hole has no room; DISK_FAILED
   */
  frames(lane: QueueLane, sequence: number, limits: ReadLimits): StoredFrame[] {
    return this.#reader.frames(lane, sequence, limits);
  }

  /** What goes to central next, behind `after`. @throws as `frames` */
  next(lane: Lane, after: number, limits: ReadLimits): NextFrames {
    return this.#reader.next(lane, after, limits);
  }

  /** Central holds other content under our sequences: what it has not acknowledged gets a new epoch that names this one (rule 4). */
  openEpoch(lane: Lane): void {
    this.#transactions.run((lanes) => {
      const state = lanes.touch(lane);
      noteLeft(this.#statements, lane, state);
      beginEpoch(state);
    });
  }

  /** Epochs that lanes left after central had acknowledged them, the oldest first. */
  leftEpochs(): readonly LeftEpoch[] {
    return readLeft(this.#statements);
  }

  /** What goes to central again of an epoch that its lane left, behind `after`; no frames where none of it can be sent. @throws as `frames` */
  nextLeft(lane: Lane, epoch: string, after: number, limits: ReadLimits): NextFrames {
    const left = this.leftEpochs().find((each) => each.lane === lane && each.epoch === epoch);
    return left ? this.#reader.nextLeft(left, after, limits) : { epoch, frames: [] };
  }

  forgetLeft(lane: Lane, epoch: string): void {
    this.#transactions.run(() => forgetLeft(this.#statements, lane, epoch));
  }

  /** What central has of a lane, as it says when a session begins. Where that is less than it acknowledged once (it was restored), what is
   * still here waits again (rule 6). */
  confirm(lane: Lane, watermark: number): void {
    if (watermark < this.position(lane).acknowledged)
      this.#transactions.run((lanes) => setBack(this.#statements, lane, lanes, watermark));
    this.#retention.confirmed(lane);
  }

  /**
   * What is left to delete, to discard by age and to give back, a bounded step of it. @returns whether there is more to do
   * @throws PlantgateError QUEUE_FULL, DISK_FAILED
   */
  maintain(): boolean {
    this.#disk.keepReserve();
    const full = this.#disk.look().state !== "ok";
    const { more, discarded, setAside } = this.#transactions.run((lanes) => {
      const setAside = this.#keptAside.hold();
      const discarded = this.#deadLetters.holdAllToBudget(this.#retention.heldBudgets.deadLetterBytes);
      const more = this.#retention.maintain(lanes, this.#lanes.keys(), full, this.#options.now());
      return { more: more || discarded.length > 0 || setAside.length > 0, discarded, setAside };
    });
    for (const each of setAside) this.onSetAsideDiscarded?.(each);
    for (const each of discarded) this.onDeadLettersDiscarded?.(each);
    if (more) return true;
    return this.#transactions.attempt(() => {
      if (!full) keepFreePages(this.#db);
      // also on a full disk: it may be full of what the queue held and needs no more
      return giveSpaceBack(this.#db, full);
    });
  }

  /** Epoch and positions of a lane, without looking at its frames. */
  position(lane: QueueLane): LanePosition {
    const { epoch, epochFirst, acknowledged, dispatched, againUpTo, next, pruned } = this.#lane(lane);
    return { epoch, epochFirst, acknowledged, dispatched, againUpTo, last: next - 1, pruned };
  }

  depth(): QueueDepth {
    return readDepth(this.#db);
  }

  disk(): DiskReport {
    return this.#disk.look();
  }

  /** Those that cannot be read are held for a person, each by itself. */
  deliveryHeads(connector: string, limit: number, skipped: readonly number[] = []): Delivery[] {
    const { heads, unreadable } = this.#deliveries.heads(connector, limit, skipped);
    if (unreadable.length > 0) this.#holdUnreadable(unreadable);
    return heads;
  }

  #holdUnreadable(ids: readonly number[]): void {
    const reason = "what lies on disk of it cannot be read: it is damaged, or its sealing key is missing";
    const held = { state: "unknown", attempts: 0, failures: 0, reason } as const;
    this.commit([{ deliveryUpdates: ids.map((id) => ({ id, ...held })), control: true }]);
  }

  receivers(): string[] {
    return this.#deliveries.receivers();
  }

  sentDeliveries(connector: string): Delivery[] {
    return this.#deliveries.sent(connector);
  }

  newerDelivery(delivery: Delivery): { readonly messageId: string } | undefined {
    return this.#deliveries.newer(delivery);
  }

  delivery(id: number): Delivery | undefined {
    return this.#deliveries.find(id);
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
}
