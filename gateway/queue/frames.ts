import { createHash } from "node:crypto";
import { type HoleReason, PlantgateError } from "../../protocol/index.ts";
import type { QueueLane, StoredFrame } from "./change.ts";
import { chainGenesis, chainNext } from "./frame.ts";
import type { LaneState } from "./lane-state.ts";
import type { RunningTime } from "./running-time.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

/** What was found wrong with a frame, or with a range of which no row is left. */
export interface Fault {
  readonly first: number;
  readonly count: number;
  readonly reason: Extract<HoleReason, "damaged" | "locked">;
  /** The rows are there, and are kept aside. */
  readonly rows: boolean;
}

export interface ReadLimits {
  readonly frames: number;
  readonly bytes: number;
  readonly inputs?: boolean;
  /** They are on their way to central from now on, and not discarded meanwhile (rule 7). */
  readonly pin?: boolean;
}

/**
 * Reads frames of one lane and holds each to its value of the chain, so that what is damaged on disk is found where it is read and goes no
 * further (rule 17, P2).
 */
export class FrameReader {
  readonly #statements: Statements;
  readonly #sealing: Sealing;
  readonly #running: RunningTime;
  readonly #site: string;

  constructor(deps: { statements: Statements; sealing: Sealing; running: RunningTime; site: string }) {
    this.#statements = deps.statements;
    this.#sealing = deps.sealing;
    this.#running = deps.running;
    this.#site = deps.site;
  }

  /**
   * Frames from the one with the message after `sequence` on, in order, at least one if there is any; up to the first that cannot be
   * read, which `fault` names.
   */
  read(
    lane: QueueLane,
    state: Readonly<LaneState>,
    sequence: number,
    limits: ReadLimits,
  ): { readonly frames: StoredFrame[]; readonly fault?: Fault } {
    const frames: StoredFrame[] = [];
    let bytes = 0;
    let expected = this.#startOf(lane, Math.max(sequence, state.pruned) + 1);
    let chain = this.#chainBefore(lane, state, expected);
    const columns = `position, count, recorded_at, run_at, chain, hole, key, events${limits.inputs ? ", inputs" : ""}`;
    const query = `SELECT ${columns} FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`;
    for (const row of this.#statements.prepare(query).iterate(framePosition(lane, expected - 1), laneEnd(lane), limits.frames)) {
      const first = sequenceAt(row.position as number);
      const count = row.count as number;
      if (first > expected)
        return { frames, fault: { first: expected, count: first - expected, reason: "damaged", rows: false } };
      if (expected === state.epochFirst) chain = this.#genesis(lane, state);
      const opened = this.#open(lane, state, row, chain);
      if (opened.kind === "fault") return { frames, fault: { first, count, reason: opened.reason, rows: true } };
      if (frames.length > 0 && bytes + opened.frame.events.byteLength > limits.bytes) break;
      bytes += opened.frame.events.byteLength;
      frames.push(opened.frame);
      expected = first + count;
      chain = Buffer.from(row.chain as Uint8Array);
    }
    if (frames.length === 0 && expected < state.next)
      return { frames, fault: { first: expected, count: state.next - expected, reason: "damaged", rows: false } };
    return { frames };
  }

  /** Where the frame begins that holds a sequence: holes grow together, so it may be before what was asked for. */
  #startOf(lane: QueueLane, sequence: number): number {
    const holding = "SELECT position, count FROM frames WHERE position <= ? AND position > ? ORDER BY position DESC LIMIT 1";
    const row = this.#statements.get(holding, framePosition(lane, sequence), framePosition(lane, 0));
    const first = row ? sequenceAt(row.position as number) : sequence;
    return row && first + (row.count as number) > sequence ? first : sequence;
  }

  /** The chain's value before `first`; undefined where nobody can tell. */
  #chainBefore(lane: QueueLane, state: Readonly<LaneState>, first: number): Buffer | undefined {
    if (first === state.epochFirst) return this.#genesis(lane, state);
    if (first - 1 === state.pruned) return state.prunedChain ?? undefined;
    const before = "SELECT position, count, chain FROM frames WHERE position < ? AND position > ? ORDER BY position DESC LIMIT 1";
    const row = this.#statements.get(before, framePosition(lane, first), framePosition(lane, 0));
    if (!row || sequenceAt(row.position as number) + (row.count as number) !== first) return undefined;
    return Buffer.from(row.chain as Uint8Array);
  }

  #genesis(lane: QueueLane, state: Readonly<LaneState>): Buffer {
    return chainGenesis(this.#site, lane, state.epoch);
  }

  #open(
    lane: QueueLane,
    state: Readonly<LaneState>,
    row: Record<string, unknown>,
    previous: Buffer | undefined,
  ): { kind: "frame"; frame: StoredFrame } | { kind: "fault"; reason: Fault["reason"] } {
    const first = sequenceAt(row.position as number);
    const count = row.count as number;
    const chain = Buffer.from(row.chain as Uint8Array);
    const frame = {
      first,
      count,
      recordedAt: row.recorded_at as number,
      ageMs: this.#running.now() - (row.run_at as number),
      chain: chain.toString("hex"),
    };
    if (row.hole !== null) return { kind: "frame", frame: { ...frame, hole: row.hole as HoleReason, events: new Uint8Array() } };
    try {
      const key = row.key as number | null;
      const place = (part: "events" | "inputs"): string => places.frame(lane, state.epoch, first, count, part);
      const events = this.#sealing.open(key, row.events as Uint8Array, place("events"));
      if (previous && !chainNext(previous, events).equals(chain) && !this.#chainWasDamaged(lane, previous, events, row))
        return { kind: "fault", reason: "damaged" };
      const inputs = row.inputs ? this.#sealing.open(key, row.inputs as Uint8Array, place("inputs")) : undefined;
      return { kind: "frame", frame: { ...frame, events, ...(inputs === undefined ? {} : { inputs }) } };
    } catch (error) {
      if (!(error instanceof PlantgateError) || error.disposition !== "quarantine") throw error;
      return { kind: "fault", reason: error.code === "FRAME_LOCKED" ? "locked" : "damaged" };
    }
  }

  /** Whether the events are right and only their stored value of the chain is not: the next frame's value tells. */
  #chainWasDamaged(lane: QueueLane, previous: Buffer, events: Uint8Array, row: Record<string, unknown>): boolean {
    if (row.key !== null) return false;
    const position = row.position as number;
    const query = "SELECT chain, events FROM frames WHERE position = ? AND position <= ? AND key IS NULL AND hole IS NULL";
    const next = this.#statements.get(query, position + (row.count as number), laneEnd(lane));
    if (!next) return false;
    const computed = chainNext(previous, events);
    const follows = createHash("sha256")
      .update(computed)
      .update(next.events as Uint8Array)
      .digest();
    if (!follows.equals(Buffer.from(next.chain as Uint8Array))) return false;
    this.#statements.run("UPDATE frames SET chain = ? WHERE position = ?", computed, position);
    row.chain = computed;
    return true;
  }
}
