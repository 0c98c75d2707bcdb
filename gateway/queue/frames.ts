import { chainNext, type HoleReason, PlantgateError } from "../../protocol/index.ts";
import type { QueueLane, StoredFrame } from "./change.ts";
import { countLines } from "./frame.ts";
import type { LaneState } from "./lane-state.ts";
import { linkOf, openEvents } from "./relink.ts";
import type { RunningTime } from "./running-time.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

/**
 * What was found wrong. `frame`: a row that cannot be read, to become a hole. `missing`: a range of which no row is left. `stray`: a row that
 * lies where another one is. `mend`: a field that is wrong while what it describes tells what it was; `before`: of the lane itself, the chain's
 * value before a frame.
 */
export type Fault =
  | { readonly kind: "frame"; readonly first: number; readonly count: number; readonly reason: UnreadableReason }
  | { readonly kind: "missing"; readonly first: number; readonly count: number; readonly reason: "damaged" }
  | { readonly kind: "stray"; readonly first: number; readonly count: number; readonly reason: "damaged" }
  | {
      readonly kind: "mend";
      readonly first: number;
      readonly count?: number;
      readonly chain?: Uint8Array;
      readonly before?: Uint8Array;
    };
export type UnreadableReason = Extract<HoleReason, "damaged" | "locked">;

export interface ReadLimits {
  readonly frames: number;
  readonly bytes: number;
  readonly inputs?: boolean;
  /** They are on their way to central from now on, and not discarded meanwhile (rule 7). */
  readonly pin?: boolean;
}

export interface Reading {
  readonly frames: StoredFrame[];
  /** What stands behind the frames, and has to be dealt with before it can be read on. */
  readonly fault?: Fault;
}

type Row = Record<string, unknown>;
type Opened = { readonly kind: "frame"; readonly frame: StoredFrame } | { readonly kind: "fault"; readonly fault: Fault };

/**
 * Reads frames of one lane and holds each to its value of the chain, and its count to what follows it, so that what is damaged on disk is
 * found where it is read and goes no further (rule 17, P2).
 */
export class FrameReader {
  readonly #statements: Statements;
  readonly #sealing: Sealing;
  readonly #running: RunningTime;

  constructor(deps: { statements: Statements; sealing: Sealing; running: RunningTime }) {
    this.#statements = deps.statements;
    this.#sealing = deps.sealing;
    this.#running = deps.running;
  }

  /**
   * Frames from the one with the message after `sequence` on, in order, at least one if there is any; up to the first that cannot be
   * read, which `fault` names.
   */
  read(lane: QueueLane, state: Readonly<LaneState>, sequence: number, limits: ReadLimits): Reading {
    const frames: StoredFrame[] = [];
    const start = this.#startOf(lane, Math.max(sequence, state.pruned) + 1);
    let chain = this.#chainBefore(lane, state, start);
    let bytes = 0;
    /** Opened, and good once what follows it begins where it ends. */
    let pending: StoredFrame | undefined;
    const columns = `position, count, recorded_at, run_at, chain, hole, key, events${limits.inputs ? ", inputs" : ""}`;
    const query = `SELECT ${columns} FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT ?`;
    // one more than asked for: the last one's count is judged by its successor
    const rows = this.#statements.prepare(query).iterate(framePosition(lane, start), laneEnd(lane), limits.frames + 1);
    for (const row of rows) {
      const first = sequenceAt(row.position as number);
      if (pending) {
        const fault = misfit(pending, first);
        if (fault) return { frames, fault };
        frames.push(pending);
        bytes += pending.events.byteLength;
        pending = undefined;
        if (frames.length >= limits.frames || bytes + (row.events as Uint8Array).byteLength > limits.bytes) return { frames };
      } else if (first > start) return { frames, fault: missing(start, first) };
      const opened = this.#open(lane, state, row, chain);
      if (opened.kind === "fault") return { frames, fault: opened.fault };
      pending = opened.frame;
      chain = Buffer.from(row.chain as Uint8Array);
    }
    const fault = pending ? misfit(pending, state.next) : start < state.next ? missing(start, state.next) : undefined;
    if (fault) return { frames, fault };
    if (pending) frames.push(pending);
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
    if (first - 1 === state.pruned) return state.prunedChain ?? undefined;
    if (first === state.epochFirst) return state.epochChain;
    const before = "SELECT position, count, chain FROM frames WHERE position < ? AND position > ? ORDER BY position DESC LIMIT 1";
    const row = this.#statements.get(before, framePosition(lane, first), framePosition(lane, 0));
    if (!row || sequenceAt(row.position as number) + (row.count as number) !== first) return undefined;
    return Buffer.from(row.chain as Uint8Array);
  }

  #open(lane: QueueLane, state: Readonly<LaneState>, row: Row, previous: Buffer | undefined): Opened {
    const first = sequenceAt(row.position as number);
    const count = row.count as number;
    const chain = Buffer.from(row.chain as Uint8Array);
    const ageMs = this.#running.ageMs(row.run_at as number);
    const frame = {
      first,
      count,
      recordedAt: row.recorded_at as number,
      ...(ageMs === undefined ? {} : { ageMs }),
      ...(first <= state.againUpTo ? { again: true as const } : {}),
      chain: chain.toString("hex"),
    };
    if (row.hole !== null) return { kind: "frame", frame: { ...frame, hole: row.hole as HoleReason, events: new Uint8Array() } };
    const place = (part: "events" | "inputs"): string => places.frame(lane, first, count, part);
    const key = row.key as number | null;
    let events: Uint8Array;
    let inputs: Uint8Array | undefined;
    try {
      events = this.#sealing.open(key, row.events as Uint8Array, place("events"));
      inputs = row.inputs ? this.#sealing.open(key, row.inputs as Uint8Array, place("inputs")) : undefined;
    } catch (error) {
      if (!(error instanceof PlantgateError) || error.disposition !== "quarantine") throw error;
      const reason = error.code === "FRAME_LOCKED" ? "locked" : "damaged";
      return { kind: "fault", fault: { kind: "frame", first, count, reason } };
    }
    const computed = previous && chainNext(previous, events);
    if (computed && !computed.equals(chain)) {
      const before = this.#wrongBefore(lane, state, first, { events, chain });
      if (before) return { kind: "fault", fault: before };
      // what was sealed and opens is what was written: then only the stored value is wrong
      const right = key !== null || this.#isRight(lane, state, first + count, computed);
      const fault: Fault = right ? { kind: "mend", first, chain: computed } : { kind: "frame", first, count, reason: "damaged" };
      return { kind: "fault", fault };
    }
    return { kind: "frame", frame: { ...frame, events, ...(inputs === undefined ? {} : { inputs }) } };
  }

  /** A frame that fits the link which it tells is whole: then what stands before it says a wrong value, if that is not vouched for itself. */
  #wrongBefore(
    lane: QueueLane,
    state: Readonly<LaneState>,
    first: number,
    { events, chain }: { readonly events: Uint8Array; readonly chain: Buffer },
  ): Fault | undefined {
    const position = framePosition(lane, first);
    const linkedTo = linkOf(this.#statements.get("SELECT linked_to FROM frames WHERE position = ?", position));
    if (!linkedTo || !chainNext(linkedTo, events).equals(chain)) return undefined;
    if (first - 1 === state.pruned || first === state.epochFirst) return { kind: "mend", first, before: linkedTo };
    const query =
      "SELECT position, count, hole, key, events, linked_to FROM frames WHERE position < ? AND position > ? ORDER BY position DESC LIMIT 1";
    const row = this.#statements.get(query, position, framePosition(lane, 0));
    if (!row || (row.position as number) + (row.count as number) !== position) return undefined;
    const link = linkOf(row);
    const own = row.hole === null && link ? openEvents(this.#sealing, lane, row) : undefined;
    if (row.hole === null && !(link && own && chainNext(link, own).equals(linkedTo))) return undefined;
    return { kind: "mend", first: sequenceAt(row.position as number), chain: linkedTo };
  }

  /** Whether a value of the chain is the one that what follows was linked to. */
  #isRight(lane: QueueLane, state: Readonly<LaneState>, next: number, computed: Buffer): boolean {
    if (next === state.next) return computed.equals(state.chain);
    const query = "SELECT chain, events FROM frames WHERE position = ? AND key IS NULL AND hole IS NULL";
    const row = this.#statements.get(query, framePosition(lane, next));
    return row !== undefined && chainNext(computed, row.events as Uint8Array).equals(Buffer.from(row.chain as Uint8Array));
  }
}

/** What is wrong where a frame does not end before `next`, the one that follows it. */
function misfit(frame: StoredFrame, next: number): Fault | undefined {
  const end = frame.first + frame.count;
  if (end === next) return undefined;
  const lines = frame.hole === undefined ? countLines(frame.events) : frame.count;
  if (lines === next - frame.first) return { kind: "mend", first: frame.first, count: lines };
  if (lines === frame.count)
    return end < next ? missing(end, next) : { kind: "stray", first: next, count: end - next, reason: "damaged" };
  return { kind: "frame", first: frame.first, count: Math.max(1, next - frame.first), reason: "damaged" };
}

function missing(first: number, next: number): Fault {
  return { kind: "missing", first, count: next - first, reason: "damaged" };
}
