import { durationMs, type EpochMs, type HoleReason, type QueuePolicy, sizeBytes } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { heldBudgets } from "./held.ts";
import type { LaneState, StagedLanes } from "./lane-state.ts";
import type { RunningTime } from "./running-time.ts";
import { framePosition, holeColumns, laneEnd, sequenceAt } from "./schema.ts";
import type { Statements } from "./statements.ts";

/** Frames deleted or discarded at once: to free one, SQLite reads each of its pages, and commits wait meanwhile. */
const framesAtOnce = 256;
/** Such parts in one transaction; what is left over goes with the next ones. */
const partsAtOnce = 8;
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
 * budget or on a full disk, what it has at all. Samples past their budget are discarded, oldest first, whole frames, each range as a hole of the same
 * sequences; transactions and batch data are refused at their source instead. All of it inside the caller's transaction.
 */
export class Retention {
  readonly #statements: Statements;
  readonly #running: RunningTime;
  #limits: RetentionLimits;
  /** Running time until which central has what it acknowledged of a lane: while it is away, what it may have lost is not let go of. */
  readonly #heardMs = new Map<QueueLane, number>();
  /** Lanes whose watermark central confirmed in this session: as long as that lasts, it is the same ledger. */
  readonly #confirmed = new Set<QueueLane>();
  /** Frames up to it are on their way to central: they are not discarded (rule 7). */
  readonly #pinned = new Map<QueueLane, number>();

  constructor(statements: Statements, running: RunningTime, limits: RetentionLimits) {
    this.#statements = statements;
    this.#running = running;
    this.#limits = limits;
    for (const { lane, at } of statements.all("SELECT lane, max(run_at) AS at FROM acks GROUP BY lane"))
      this.#heardMs.set(lane as QueueLane, at as number);
  }

  configure(limits: Partial<RetentionLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  /** A session begins: until central says what it has of a lane, it may have lost some of it. */
  sessionBegins(): void {
    this.#confirmed.clear();
  }

  /** Central has what it acknowledged of this lane. */
  confirmed(lane: QueueLane): void {
    this.#confirmed.add(lane);
    this.heard();
  }

  /** Central is there, in the same session. */
  heard(): void {
    for (const lane of this.#confirmed) this.#heardMs.set(lane, this.#running.now());
  }

  pin(lane: QueueLane, upTo: number): void {
    this.#pinned.set(lane, upTo);
  }

  maxBytes(lane: QueueLane): number {
    const { transaction, bulk, telemetry } = this.#limits.policy.lanes;
    // what came from central is business data as well
    return sizeBytes({ transaction, bulk, telemetry, inbound: transaction }[lane].maxBytes);
  }

  /** What may wait for one connector, and what dead letters of one connector and direction may take. */
  get heldBudgets(): ReturnType<typeof heldBudgets> {
    return heldBudgets(this.#limits.policy);
  }

  /** What lies behind `from`, up to and with `to`, waits no more. */
  taken(lane: QueueLane, state: LaneState, from: number, to: number): void {
    const query = `SELECT coalesce(sum(${size}), 0) AS bytes FROM frames WHERE position > ? AND position <= ?`;
    const bytes = this.#statements.get(query, framePosition(lane, from), framePosition(lane, to))?.bytes as number;
    state.waitingBytes = Math.max(0, state.waitingBytes - bytes);
  }

  /** Notes when a lane was acknowledged, so that its frames are kept for the recovery point from then on; not with every batch. */
  noteAcknowledged(lane: QueueLane, sequence: number): void {
    const { recoveryPointMs } = this.#limits;
    if (recoveryPointMs === 0 || sequence === 0) return;
    const now = this.#running.now();
    const newest = this.#statements.get("SELECT sequence, run_at FROM acks WHERE lane = ? ORDER BY sequence DESC LIMIT 1", lane);
    if (newest && (newest.sequence === sequence || now - (newest.run_at as number) < recoveryPointMs / acksPerRecoveryPoint))
      return;
    this.#statements.run("INSERT OR REPLACE INTO acks (lane, sequence, run_at) VALUES (?, ?, ?)", lane, sequence, now);
  }

  /** What is due by time: late notes, what nobody needs any more, samples past their age. @returns whether there is more to do */
  maintain(lanes: StagedLanes, names: Iterable<QueueLane>, diskFull: boolean, at: EpochMs): boolean {
    let more = false;
    for (const lane of names) {
      if (lane !== "inbound") this.noteAcknowledged(lane, lanes.get(lane).acknowledged);
      more = this.prune(lane, lanes, diskFull) || more;
    }
    return this.holdTelemetry(lanes, 0, diskFull, at) || more;
  }

  /** Deletes what nobody needs any more, a bounded part of it. @returns whether there is more to delete */
  prune(lane: QueueLane, lanes: StagedLanes, diskFull: boolean): boolean {
    const state = lanes.get(lane);
    const acknowledged = lane === "inbound" ? Number.MAX_SAFE_INTEGER : this.#deletable(lane, state, diskFull);
    const upTo = Math.min(acknowledged, dispatchedOf(lane, state));
    return upTo > state.pruned && this.#delete(lane, lanes, upTo);
  }

  /** What may go because central has had it for its recovery point; past the budget and on a full disk, what central has at all. */
  #deletable(lane: QueueLane, state: Readonly<LaneState>, diskFull: boolean): number {
    const { recoveryPointMs } = this.#limits;
    if (recoveryPointMs === 0 || diskFull || state.bytes > this.maxBytes(lane)) return state.acknowledged;
    const query = "SELECT max(sequence) AS sequence FROM acks WHERE lane = ? AND run_at <= ?";
    const passed = this.#statements.get(query, lane, (this.#heardMs.get(lane) ?? 0) - recoveryPointMs)?.sequence as number | null;
    if (passed === null) return 0;
    this.#statements.run("DELETE FROM acks WHERE lane = ? AND sequence < ?", lane, passed);
    return Math.min(passed, state.acknowledged);
  }

  #delete(lane: QueueLane, lanes: StagedLanes, upTo: number): boolean {
    const from = framePosition(lane, lanes.get(lane).pruned);
    const query = `SELECT position, count, chain, ${size} AS bytes FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`;
    const rows = this.#rows(query, from, framePosition(lane, upTo)).filter((row) => lastOf(row) <= upTo);
    const last = rows.at(-1);
    if (!last) return false;
    this.#statements.run("DELETE FROM frames WHERE position > ? AND position <= ?", from, last.position);
    const state = lanes.touch(lane);
    state.pruned = lastOf(last);
    state.prunedChain = Buffer.from(last.chain);
    state.bytes = Math.max(0, state.bytes - sum(rows));
    return rows.length === framesAtOnce;
  }

  /**
   * Holds the samples to their budget. `grown`: bytes that this transaction added; where the disk is full they take the room of older
   * ones, so that the file does not grow. @returns whether there is more to discard
   */
  holdTelemetry(lanes: StagedLanes, grown: number, diskFull: boolean, at: EpochMs): boolean {
    const { maxMessages, maxAge } = this.#limits.policy.lanes.telemetry;
    const budget = this.maxBytes("telemetry");
    const state = (): Readonly<LaneState> => lanes.get("telemetry");
    const before = state().bytes - grown;
    for (let part = 0; part < partsAtOnce && (state().bytes > budget || diskFull); part++)
      if (!this.prune("telemetry", lanes, diskFull)) break;
    let more = false;
    if (state().bytes > budget) more = this.#discard(lanes, (freed) => state().bytes - freed <= budget * (1 - slack), "size", at);
    if (maxMessages !== undefined && state().next - 1 - state().acknowledged > maxMessages)
      more = this.#discardUpTo(lanes, Math.ceil(state().next - 1 - maxMessages * (1 - slack)), "count", at) || more;
    if (maxAge !== undefined) more = this.#discardOlder(lanes, durationMs(maxAge), at) || more;
    if (diskFull && state().bytes > before)
      this.#discard(lanes, (freed) => state().bytes - freed <= before * (1 - slack), "disk", at);
    return more;
  }

  /** Discards the oldest samples that are not on their way, until it is enough or as many as go at once. @returns whether it stopped short */
  #discard(lanes: StagedLanes, enough: (freed: number) => boolean, reason: HoleReason, at: EpochMs): boolean {
    for (let part = 0; part < partsAtOnce; part++) {
      const run = this.#oldestRun(lanes.get("telemetry"), laneEnd("telemetry"));
      if (run.length === 0 || enough(0)) return false;
      let until = 0;
      let freed = 0;
      while (until < run.length && !enough(freed)) freed += run[until++]?.bytes ?? 0;
      this.#replace(lanes, run.slice(0, until), reason, at);
    }
    return !enough(0);
  }

  /** Discards every sample up to `sequence` that is not on its way, as many as go at once. @returns whether it stopped short */
  #discardUpTo(lanes: StagedLanes, sequence: number, reason: HoleReason, at: EpochMs): boolean {
    for (let part = 0; part < partsAtOnce; part++) {
      const run = this.#oldestRun(lanes.get("telemetry"), framePosition("telemetry", sequence));
      const whole = run.filter((row) => lastOf(row) <= sequence);
      if (whole.length === 0) return false;
      this.#replace(lanes, whole, reason, at);
    }
    return true;
  }

  /** The oldest frames with samples that may be discarded, as far as they follow each other without a hole; a bounded part of them. */
  #oldestRun(state: Readonly<LaneState>, last: number): Row[] {
    const from = framePosition("telemetry", this.#firstDiscardable(state));
    const oldest = "SELECT position FROM frames WHERE position >= ? AND position <= ? AND hole IS NULL ORDER BY position LIMIT 1";
    const first = this.#statements.get(oldest, from, last)?.position as number | undefined;
    if (first === undefined) return [];
    const query = `SELECT position, count, chain, hole, ${size} AS bytes FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?`;
    const rows = this.#rows(query, first, last);
    const end = rows.findIndex((row) => row.hole !== null);
    return end === -1 ? rows : rows.slice(0, end);
  }

  #discardOlder(lanes: StagedLanes, maxAgeMs: number, at: EpochMs): boolean {
    const before = this.#running.now() - maxAgeMs;
    const query =
      "SELECT max(position) AS position FROM (SELECT position, run_at FROM frames WHERE position >= ? AND position <= ? AND hole IS NULL ORDER BY position LIMIT ?) WHERE run_at < ?";
    const from = framePosition("telemetry", this.#firstDiscardable(lanes.get("telemetry")));
    const last = this.#statements.get(query, from, laneEnd("telemetry"), framesAtOnce, before)?.position as number | null;
    if (last === null) return false;
    const count = this.#statements.get("SELECT count FROM frames WHERE position = ?", last)?.count as number;
    this.#discardUpTo(lanes, sequenceAt(last) + count - 1, "age", at);
    return true;
  }

  /** Behind what is acknowledged and what is on its way; a hole there grows. */
  #firstDiscardable(state: Readonly<LaneState>): number {
    const from = Math.max(state.acknowledged, this.#pinned.get("telemetry") ?? 0) + 1;
    return Math.max(from, state.epochFirst);
  }

  /**
   * Puts one hole in the place of frames that follow each other; it keeps the last one's value of the chain. A hole of the same reason
   * before it grows.
   */
  #replace(lanes: StagedLanes, rows: readonly Row[], reason: HoleReason, at: EpochMs): void {
    const [first, last] = [rows[0], rows.at(-1)];
    if (!first || !last) return;
    const state = lanes.touch("telemetry");
    const end = last.position + last.count;
    const before = this.#statements.get(
      "SELECT position, count, hole FROM frames WHERE position < ? AND position >= ? ORDER BY position DESC LIMIT 1",
      first.position,
      framePosition("telemetry", this.#firstDiscardable(state)),
    );
    const grows = before?.hole === reason && (before.position as number) + (before.count as number) === first.position;
    const position = grows ? (before.position as number) : first.position;
    this.#statements.run("DELETE FROM frames WHERE position >= ? AND position <= ?", position, last.position);
    const insert = `INSERT INTO frames ${holeColumns} VALUES (?, ?, ?, ?, ?, ?, x'')`;
    this.#statements.run(insert, position, end - position, at, this.#running.now(), last.chain, reason);
    state.bytes = Math.max(0, state.bytes - sum(rows));
    state.waitingBytes = Math.max(0, state.waitingBytes - sum(rows));
  }

  #rows(query: string, from: number, to: number): Row[] {
    return this.#statements.all(query, from, to, framesAtOnce) as unknown as Row[];
  }
}

interface Row {
  readonly position: number;
  readonly count: number;
  readonly chain: Uint8Array;
  readonly hole: string | null;
  readonly bytes: number;
}

function lastOf({ position, count }: Row): number {
  return sequenceAt(position) + count - 1;
}

/** Samples have no local destinations. */
function dispatchedOf(lane: QueueLane, state: Readonly<LaneState>): number {
  return lane === "telemetry" ? Number.MAX_SAFE_INTEGER : state.dispatched;
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((bytes, row) => bytes + row.bytes, 0);
}
