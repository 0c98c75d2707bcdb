import { randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { type EpochMs, type Lane, PlantgateError } from "../../protocol/index.ts";
import type { Change, Committed, LanePosition, NewMessage, QueueLane, StoredFrame } from "./change.ts";
import { chainGenesis, chainNext, cutFrames, encodeInputs, encodeLines } from "./frame.ts";
import { type LaneState, openQueueFile } from "./open.ts";
import { type RepeatEntry, RepeatWindow, toRepeatEntry } from "./repeats.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { Statements, writeDeadLetter, writeDeliveries } from "./statements.ts";

/** What a transaction has changed in memory; becomes the state when it is committed, is dropped when it is not. */
interface Staged {
  readonly appended: Map<QueueLane, { message: NewMessage; inputs: readonly Uint8Array[] | undefined }[]>;
  readonly repeats: Map<string, string>;
  readonly entries: RepeatEntry[];
  readonly laneChanges: ((state: Map<QueueLane, LaneState>) => void)[];
}

/**
 * The queue's file: SQLite in WAL mode with synchronous FULL, so that a commit is flushed before it returns (packaging/docs/ordering.md).
 * Synchronous; lives in the worker. It alone gives out sequences (rule 12).
 */
export class QueueStore {
  readonly #db: DatabaseSync;
  readonly #site: string;
  readonly #lanes: Map<QueueLane, LaneState>;
  readonly #repeats: RepeatWindow;
  readonly #statements: Statements;
  readonly #now: () => EpochMs;
  #flushes = 0;

  /**
   * Opens or makes the file, and commits a boot record before anything else can be read or acknowledged (rule 4).
   * @throws PlantgateError FORMAT_NEWER, DISK_FAILED
   */
  constructor(options: { path: string; site: string; kernelBoot: string; now: () => EpochMs }) {
    this.#site = options.site;
    this.#now = options.now;
    const { db, lanes } = openQueueFile(options);
    this.#db = db;
    this.#lanes = lanes;
    this.#statements = new Statements(db);
    this.#repeats = new RepeatWindow(this.#db);
  }

  /**
   * Applies the changes in one transaction and flushes it. When it returns, all of them are on disk; when it throws, none is.
   * @throws PlantgateError QUEUE_FULL when the disk has no room: the caller may go on; DISK_FAILED: the process has to end (rule 12).
   */
  commit(changes: readonly Change[]): Committed[] {
    const staged: Staged = { appended: new Map(), repeats: new Map(), entries: [], laneChanges: [] };
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const results = changes.map((change) => this.#apply(change, staged));
      this.#writeFrames(staged);
      if (this.#flushes++ % 5000 === 4999) this.#repeats.prune(this.#db);
      this.#db.exec("COMMIT");
      for (const change of staged.laneChanges) change(this.#lanes);
      this.#repeats.remember(staged.entries);
      return results;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      if (isFull(cause)) throw new PlantgateError("QUEUE_FULL", "the disk has no room for the queue", { cause });
      throw cause instanceof PlantgateError
        ? cause
        : new PlantgateError("DISK_FAILED", "the queue could not be written", { cause });
    }
  }

  #apply(change: Change, staged: Staged): Committed {
    if (change.releaseMarker)
      this.#statements.run(
        "DELETE FROM markers WHERE client = ? AND packet = ?",
        change.releaseMarker.client,
        change.releaseMarker.packetId,
      );
    if (change.marker) {
      const { changes } = this.#statements.run(
        "INSERT OR IGNORE INTO markers VALUES (?, ?)",
        change.marker.client,
        change.marker.packetId,
      );
      if (changes === 0) return { appended: 0, repeats: Math.max(1, change.messages?.length ?? 0), conflicts: [] };
    }
    let appended = 0;
    let repeats = 0;
    const ownKeys = new Set<string>();
    const conflicts: string[] = [];
    for (const message of change.messages ?? []) {
      // two messages of one input under one key are not a repeat of the sender's, they are a mistake of the mapping
      const doubled = message.repeat !== undefined && ownKeys.has(message.repeat.key);
      if (message.repeat) ownKeys.add(message.repeat.key);
      const verdict = doubled ? "conflict" : this.#judgeRepeat(message, staged);
      if (verdict === "repeat") repeats += 1;
      else if (verdict === "conflict") conflicts.push(this.#keepConflict(change, message));
      else {
        appended += 1;
        const lane = staged.appended.get(message.lane);
        if (lane) lane.push({ message, inputs: change.inputs });
        else staged.appended.set(message.lane, [{ message, inputs: change.inputs }]);
      }
    }
    for (const { name, value } of change.cursors ?? []) {
      this.#statements.run(
        "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value,
      );
    }
    for (const letter of change.deadLetters ?? []) writeDeadLetter(this.#statements, letter);
    writeDeliveries(this.#statements, change);
    if (change.acknowledged) this.#acknowledge(change.acknowledged, staged);
    if (change.dispatched) {
      const { lane, upTo } = change.dispatched;
      this.#statements.run("UPDATE lanes SET dispatched = ? WHERE lane = ? AND dispatched < ?", upTo, lane, upTo);
      staged.laneChanges.push((state) => {
        const known = state.get(lane);
        if (known) known.dispatched = Math.max(known.dispatched, upTo);
      });
      this.#prune(lane);
    }
    return { appended, repeats, conflicts };
  }

  #judgeRepeat(message: NewMessage, staged: Staged): "new" | "repeat" | "conflict" {
    if (!message.repeat) return "new";
    const entry = toRepeatEntry(message.repeat.key, message.repeat.hash);
    const before = staged.repeats.get(entry.key) ?? this.#repeats.find(entry.key);
    if (before !== undefined) return before === entry.hash ? "repeat" : "conflict";
    staged.repeats.set(entry.key, entry.hash);
    staged.entries.push(entry);
    return "new";
  }

  #keepConflict(change: Change, message: NewMessage): string {
    const id = randomUUID();
    const from = change.senders?.[message.input ?? 0] ?? change.from;
    writeDeadLetter(this.#statements, {
      id,
      at: from?.receivedAt ?? this.#now(),
      direction: "in",
      connector: from?.connector ?? "",
      ...(from?.flow === undefined ? {} : { flow: from.flow }),
      place: from?.place ?? "",
      code: "KEY_CONFLICT",
      reason: "the same idempotency key was recorded before with other content; the first stands",
      body: change.inputs?.[message.input ?? 0] ?? Buffer.from(message.line),
      attempts: 0,
    });
    return id;
  }

  #writeFrames(staged: Staged): void {
    let firstTransaction: number | undefined;
    for (const [lane, entries] of staged.appended) {
      const state = this.#lane(lane);
      let { next, chain } = state;
      if (lane === "transaction") firstTransaction = next;
      for (const frame of cutFrames(entries.map((entry) => ({ ...entry, line: entry.message.line })))) {
        const events = encodeLines(frame.map((entry) => entry.line));
        chain = chainNext(chain, events);
        const inputs =
          lane === "transaction"
            ? encodeInputs(
                frame.map((entry) => (entry.message.input === undefined ? undefined : entry.inputs?.[entry.message.input])),
              )
            : null;
        this.#statements.run(
          "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)",
          framePosition(lane, next),
          frame.length,
          this.#now(),
          chain,
          events,
          inputs,
        );
        next += frame.length;
      }
      this.#statements.run("UPDATE lanes SET next = ?, chain = ? WHERE lane = ?", next, chain, lane);
      staged.laneChanges.push(() => Object.assign(state, { next, chain }));
    }
    if (staged.entries.length > 0) this.#repeats.write(this.#db, firstTransaction ?? -this.#flushes, staged.entries);
  }

  #acknowledge(ack: NonNullable<Change["acknowledged"]>, staged: Staged): void {
    const state = this.#lane(ack.lane);
    // an answer to a batch of an epoch that was closed meanwhile says nothing about this one
    if (ack.epoch !== state.epoch || ack.watermark <= state.acknowledged || ack.watermark >= state.next) return;
    const frame = this.#statements.get(
      "SELECT position, count, chain FROM frames WHERE position <= ? ORDER BY position DESC LIMIT 1",
      framePosition(ack.lane, ack.watermark),
    );
    if (!frame || sequenceAt(frame.position as number) + (frame.count as number) - 1 !== ack.watermark) {
      throw new PlantgateError("INVARIANT", "central acknowledged a part of a frame", { context: { ...ack } });
    }
    const chain = Buffer.from(frame.chain as Uint8Array);
    this.#statements.run(
      "UPDATE lanes SET acknowledged = ?, acknowledged_chain = ? WHERE lane = ?",
      ack.watermark,
      chain,
      ack.lane,
    );
    staged.laneChanges.push(() => Object.assign(state, { acknowledged: ack.watermark, acknowledgedChain: chain }));
    this.#prune(ack.lane);
  }

  /** Deletes what nobody needs any more: acknowledged by central and dispatched to local destinations; telemetry has none. */
  #prune(lane: QueueLane): void {
    // as this transaction has it so far
    const row = this.#statements.get("SELECT acknowledged, dispatched FROM lanes WHERE lane = ?", lane);
    const acknowledged = lane === "inbound" ? Number.MAX_SAFE_INTEGER : (row?.acknowledged as number);
    const dispatched = lane === "telemetry" ? Number.MAX_SAFE_INTEGER : (row?.dispatched as number);
    const upTo = Math.min(acknowledged, dispatched);
    const last = framePosition(lane, upTo);
    this.#statements.run(
      "DELETE FROM frames WHERE position >= ? AND position <= ? AND position + count - 1 <= ?",
      framePosition(lane, 0),
      last,
      last,
    );
  }

  /** Frames after `sequence`, in order, at least one if there is any. */
  frames(lane: QueueLane, sequence: number, limits: { frames: number; bytes: number }): StoredFrame[] {
    const result: StoredFrame[] = [];
    let bytes = 0;
    const query =
      "SELECT position, count, recorded_at, chain, events FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";
    for (const row of this.#statements.prepare(query).iterate(framePosition(lane, sequence), laneEnd(lane), limits.frames)) {
      const events = row.events as Uint8Array;
      if (result.length > 0 && bytes + events.byteLength > limits.bytes) break;
      bytes += events.byteLength;
      result.push({
        first: sequenceAt(row.position as number),
        count: row.count as number,
        recordedAt: row.recorded_at as number,
        events,
        chain: Buffer.from(row.chain as Uint8Array).toString("hex"),
      });
    }
    return result;
  }

  /**
   * Central holds other content under our sequences: what it has not acknowledged gets a new random epoch that names this one
   * (rule 4). Sequences and frames stay as they are; the chain begins anew.
   */
  openEpoch(lane: Lane): void {
    const state = this.#lane(lane);
    const epoch = randomUUID();
    const first = state.acknowledged + 1;
    const predecessor = { epoch: state.epoch, lastSequence: state.acknowledged };
    const genesis = chainGenesis(this.#site, lane, epoch);
    let chain: Buffer = genesis;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      // in pages: after a long outage the lane does not fit into memory
      for (let position = framePosition(lane, first) - 1, more = true; more; ) {
        const page = "SELECT position, events FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT 100";
        const rows = this.#statements.prepare(page).all(position, laneEnd(lane));
        for (const row of rows) {
          position = row.position as number;
          chain = chainNext(chain, row.events as Uint8Array);
          this.#statements.run("UPDATE frames SET chain = ? WHERE position = ?", chain, position);
        }
        more = rows.length > 0;
      }
      const update =
        "UPDATE lanes SET epoch = ?, epoch_first = ?, predecessor_epoch = ?, predecessor_last = ?, chain = ?, acknowledged_chain = ? WHERE lane = ?";
      this.#statements.run(update, epoch, first, predecessor.epoch, predecessor.lastSequence, chain, genesis, lane);
      this.#db.exec("COMMIT");
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw new PlantgateError("DISK_FAILED", "a new epoch could not be written", { cause });
    }
    Object.assign(state, { epoch, epochFirst: first, predecessor, chain, acknowledgedChain: genesis });
  }

  /** Epoch and positions of a lane, without looking at its frames. */
  position(lane: QueueLane): LanePosition {
    const { epoch, epochFirst, acknowledged, dispatched, next } = this.#lane(lane);
    return { epoch, epochFirst, acknowledged, dispatched, last: next - 1 };
  }

  cursor(name: string): string | undefined {
    return this.#statements.get("SELECT value FROM cursors WHERE name = ?", name)?.value as string | undefined;
  }

  get database(): DatabaseSync {
    return this.#db;
  }

  close(): void {
    this.#db.close();
  }

  #lane(lane: QueueLane): LaneState {
    const state = this.#lanes.get(lane);
    if (!state) throw new PlantgateError("INVARIANT", `the queue has no lane ${lane}`);
    return state;
  }
}

/** SQLITE_FULL (13): no room. Everything else that a commit throws is a failed disk. */
function isFull(error: unknown): boolean {
  return typeof error === "object" && error !== null && "errcode" in error && ((error.errcode as number) & 0xff) === 13;
}
