import { durationMs, type EpochMs, type HoleReason, type QueuePolicy, sizeBytes } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import type { LaneState } from "./lane-state.ts";
import type { RunningTime } from "./running-time.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import type { Statements } from "./statements.ts";

/** Frames deleted in one transaction: to free one, SQLite reads each of its pages. */
const deletedAtOnce = 256;
/** What is discarded beyond need, so that a full lane does not discard with every message. */
const slack = 0.02;
/** An acknowledgement's running time is noted so often, as a share of the recovery point. */
const acksPerRecoveryPoint = 60;

const size = "length(events) + coalesce(length(inputs), 0)";

export interface RetentionLimits {
  readonly policy: QueuePolicy;
  /** How long central may still lose what it acknowledged (rule 6). */
  readonly recoveryPointMs: number;
}

/**
 * What leaves the disk, and when (rules 6 and 7): first what central has for longer than its recovery point, then, past the lane's
 * budget, what it has at all. Samples past their budget are discarded, oldest first, whole frames, each range as a hole of the same
 * sequences; transactions and batch data are refused at their source instead. All of it inside the caller's transaction.
 */
export class Retention {
  readonly #statements: Statements;
  readonly #running: RunningTime;
  #limits: RetentionLimits;
  readonly #notedAt = new Map<QueueLane, number>();
  /** Frames up to it are on their way to central: they are not discarded (rule 7). */
  readonly #pinned = new Map<QueueLane, number>();

  constructor(statements: Statements, running: RunningTime, limits: RetentionLimits) {
    this.#statements = statements;
    this.#running = running;
    this.#limits = limits;
  }

  configure(limits: Partial<RetentionLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  pin(lane: QueueLane, upTo: number): void {
    this.#pinned.set(lane, upTo);
  }

  maxBytes(lane: QueueLane): number {
    const { transaction, bulk, telemetry } = this.#limits.policy.lanes;
    // what came from central is business data as well
    return sizeBytes({ transaction, bulk, telemetry, inbound: transaction }[lane].maxBytes);
  }

  /** What lies behind `from`, up to and with `to`, waits no more. */
  taken(lane: QueueLane, state: LaneState, from: number, to: number): void {
    const query = `SELECT coalesce(sum(${size}), 0) AS bytes FROM frames WHERE position > ? AND position <= ?`;
    state.waitingBytes -= this.#statements.get(query, framePosition(lane, from), framePosition(lane, to))?.bytes as number;
  }

  /** Notes when a lane was acknowledged, so that its frames are kept for the recovery point from then on. */
  noteAcknowledged(lane: QueueLane, sequence: number): void {
    const { recoveryPointMs } = this.#limits;
    if (recoveryPointMs === 0) return;
    const now = this.#running.now();
    if (now - (this.#notedAt.get(lane) ?? Number.NEGATIVE_INFINITY) < recoveryPointMs / acksPerRecoveryPoint) return;
    this.#notedAt.set(lane, now);
    this.#statements.run("INSERT OR REPLACE INTO acks VALUES (?, ?, ?)", lane, sequence, now);
  }

  /** Deletes what nobody needs any more, a bounded part of it. @returns whether there is more to delete */
  prune(lane: QueueLane, state: LaneState): boolean {
    const acknowledged = lane === "inbound" ? Number.MAX_SAFE_INTEGER : this.#deletable(lane, state);
    const upTo = Math.min(acknowledged, dispatchedOf(lane, state));
    return this.#delete(lane, state, upTo);
  }

  /** What may go because central has had it for its recovery point; past the budget, what central has at all. */
  #deletable(lane: QueueLane, state: LaneState): number {
    const { recoveryPointMs } = this.#limits;
    if (recoveryPointMs === 0 || state.bytes > this.maxBytes(lane)) return state.acknowledged;
    const before = this.#running.now() - recoveryPointMs;
    const passed = this.#statements.get("SELECT max(sequence) AS sequence FROM acks WHERE lane = ? AND run_at <= ?", lane, before)
      ?.sequence as number | null;
    if (passed === null) return 0;
    this.#statements.run("DELETE FROM acks WHERE lane = ? AND sequence < ?", lane, passed);
    return passed;
  }

  #delete(lane: QueueLane, state: LaneState, upTo: number): boolean {
    const from = framePosition(lane, state.pruned);
    const query = `SELECT position, count, chain, ${size} AS bytes FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`;
    const rows = this.#statements
      .all(query, from, framePosition(lane, upTo), deletedAtOnce)
      .map((row) => row as unknown as Row)
      .filter((row) => lastOf(row) <= upTo);
    const last = rows.at(-1);
    if (!last) return false;
    this.#statements.run("DELETE FROM frames WHERE position > ? AND position <= ?", from, last.position);
    state.pruned = lastOf(last);
    state.prunedChain = Buffer.from(last.chain);
    state.bytes -= sum(rows);
    return rows.length === deletedAtOnce;
  }

  /**
   * Holds the samples to their budget. `grown`: bytes that this transaction added; where the disk is full they take the room of older
   * ones, so that the file does not grow.
   */
  holdTelemetry(state: LaneState, grown: number, diskFull: boolean, at: EpochMs): void {
    const { maxMessages, maxAge } = this.#limits.policy.lanes.telemetry;
    const budget = this.maxBytes("telemetry");
    while (state.bytes > budget && this.prune("telemetry", state));
    if (state.bytes > budget) this.#discard(state, state.bytes - budget * (1 - slack), "size", at);
    if (maxMessages !== undefined && state.next - 1 - state.acknowledged > maxMessages)
      this.#discardUpTo(state, Math.ceil(state.next - 1 - maxMessages * (1 - slack)), "count", at);
    if (maxAge !== undefined) this.#discardOlder(state, durationMs(maxAge), at);
    if (diskFull && grown > 0) this.#discard(state, Math.max(grown, state.bytes * slack), "disk", at);
  }

  /** Discards the oldest samples that are not on their way, at least `bytes` of them. */
  #discard(state: LaneState, bytes: number, reason: HoleReason, at: EpochMs): void {
    for (let freed = 0; freed < bytes; ) {
      const run = this.#oldestRun(state, laneEnd("telemetry"));
      if (run.length === 0) return;
      let until = 0;
      while (until < run.length && freed < bytes) freed += run[until++]?.bytes ?? 0;
      this.#replace(state, run.slice(0, until), reason, at);
    }
  }

  /** Discards every sample up to `sequence` that is not on its way. */
  #discardUpTo(state: LaneState, sequence: number, reason: HoleReason, at: EpochMs): void {
    for (;;) {
      const run = this.#oldestRun(state, framePosition("telemetry", sequence)).filter((row) => lastOf(row) <= sequence);
      if (run.length === 0) return;
      this.#replace(state, run, reason, at);
    }
  }

  /** The oldest frames with samples that may be discarded, as far as they follow each other without a hole; a bounded part of them. */
  #oldestRun(state: LaneState, last: number): Row[] {
    const from = framePosition("telemetry", this.#firstDiscardable(state));
    const oldest = "SELECT min(position) AS position FROM frames WHERE position >= ? AND position <= ? AND hole IS NULL";
    const first = this.#statements.get(oldest, from, last)?.position as number | null;
    if (first === null) return [];
    const query = `SELECT position, count, chain, hole, ${size} AS bytes FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?`;
    const rows = this.#statements.all(query, first, last, deletedAtOnce) as unknown as (Row & { hole: string | null })[];
    const end = rows.findIndex((row) => row.hole !== null);
    return end === -1 ? rows : rows.slice(0, end);
  }

  #discardOlder(state: LaneState, maxAgeMs: number, at: EpochMs): void {
    const before = this.#running.now() - maxAgeMs;
    // running time rises along a lane, so the last old one is found without looking at each
    const query =
      "SELECT max(position) AS position FROM (SELECT position, run_at FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?) WHERE run_at < ?";
    const from = framePosition("telemetry", this.#firstDiscardable(state));
    const last = this.#statements.get(query, from, laneEnd("telemetry"), deletedAtOnce, before)?.position as number | null;
    if (last === null) return;
    const count = this.#statements.get("SELECT count FROM frames WHERE position = ?", last)?.count as number;
    this.#discardUpTo(state, sequenceAt(last) + count - 1, "age", at);
  }

  /** Behind what is acknowledged and what is on its way; a hole there grows. */
  #firstDiscardable(state: LaneState): number {
    const from = Math.max(state.acknowledged, this.#pinned.get("telemetry") ?? 0) + 1;
    return Math.max(from, state.epochFirst);
  }

  /**
   * Puts one hole in the place of frames that follow each other; it keeps the last one's value of the chain. A hole of the same reason
   * before it grows.
   */
  #replace(state: LaneState, rows: readonly Row[], reason: HoleReason, at: EpochMs): void {
    const [first, last] = [rows[0], rows.at(-1)];
    if (!first || !last) return;
    const end = last.position + last.count;
    const before = this.#statements.get(
      "SELECT position, count, hole FROM frames WHERE position < ? AND position >= ? ORDER BY position DESC LIMIT 1",
      first.position,
      framePosition("telemetry", this.#firstDiscardable(state)),
    );
    const grows = before?.hole === reason && (before.position as number) + (before.count as number) === first.position;
    const position = grows ? (before.position as number) : first.position;
    this.#statements.run("DELETE FROM frames WHERE position >= ? AND position <= ?", position, last.position);
    const insert = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, NULL, x'', NULL)";
    this.#statements.run(insert, position, end - position, at, this.#running.now(), last.chain, reason);
    state.bytes -= sum(rows);
    state.waitingBytes -= sum(rows);
  }
}

interface Row {
  readonly position: number;
  readonly count: number;
  readonly chain: Uint8Array;
  readonly bytes: number;
}

function lastOf({ position, count }: Row): number {
  return sequenceAt(position) + count - 1;
}

/** Samples have no local destinations. */
function dispatchedOf(lane: QueueLane, state: LaneState): number {
  return lane === "telemetry" ? Number.MAX_SAFE_INTEGER : state.dispatched;
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((bytes, row) => bytes + row.bytes, 0);
}
