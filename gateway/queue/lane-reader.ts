import type { EpochMs, Lane } from "../../protocol/index.ts";
import type { NextFrames, QueueLane, StoredFrame } from "./change.ts";
import { type Fault, FrameReader, type ReadLimits } from "./frames.ts";
import type { LaneState, StagedLanes } from "./lane-state.ts";
import type { LeftEpoch } from "./left-epochs.ts";
import { readOn } from "./read-on.ts";
import type { Retention } from "./retention.ts";
import type { RunningTime } from "./running-time.ts";
import type { Sealing } from "./sealing.ts";
import { setAside } from "./set-aside.ts";
import type { Statements } from "./statements.ts";
import { isQueueFull, type Transactions } from "./transactions.ts";

export interface LaneReaderDeps {
  readonly statements: Statements;
  readonly sealing: Sealing;
  readonly running: RunningTime;
  readonly lanes: ReadonlyMap<QueueLane, LaneState>;
  readonly transactions: Transactions;
  readonly retention: Retention;
  readonly now: () => EpochMs;
  /** Told after a fault was dealt with. */
  readonly onSetAside: (lane: QueueLane, fault: Fault) => void;
}

/** Reads lanes for whoever sends or dispatches: what cannot be read on the way is dealt with, so that what stands behind it gets on (P2). */
export class LaneReader {
  readonly #deps: LaneReaderDeps;
  readonly #frames: FrameReader;

  constructor(deps: LaneReaderDeps) {
    this.#deps = deps;
    this.#frames = new FrameReader(deps);
  }

  /**
   * Frames from the one with the message after `sequence` on, in order, at least one if there is any. What cannot be read is a hole from
   * then on.
   * @throws PlantgateError QUEUE_FULL: a hole has no room; DISK_FAILED
   */
  frames(lane: QueueLane, sequence: number, limits: ReadLimits): StoredFrame[] {
    const frames = readOn(
      {
        read: () => this.#frames.read(lane, this.#lane(lane), sequence, limits),
        state: () => this.#lane(lane),
        setAside: (fault) => this.#setAside(lane, fault),
      },
      sequence,
    );
    const last = frames.at(-1);
    if (limits.pin && last) this.#deps.retention.pin(lane, last.first + last.count - 1);
    return frames;
  }

  /**
   * What goes to central next, behind `after`: the frames that are there; before them, where central lost what is deleted here, a hole that
   * says so (rule 6). `chainUnknown`: a file of format 1 does not tell how to link that hole.
   */
  next(lane: Lane, after: number, limits: ReadLimits): NextFrames {
    const { epoch, pruned, prunedChain } = this.#lane(lane);
    const frames = this.frames(lane, Math.max(after, pruned), limits);
    if (after >= pruned) return { epoch, frames };
    if (!prunedChain) return { epoch, frames: [], chainUnknown: true };
    return { epoch, frames: [lostByReceiver(after + 1, pruned, prunedChain.toString("hex")), ...frames] };
  }

  /** As `next`, of an epoch that the lane left. */
  nextLeft(left: LeftEpoch, after: number, limits: ReadLimits): NextFrames {
    const { lane, epoch, last, lastChain } = left;
    const { pruned, prunedChain } = this.#lane(lane);
    const gone = Math.min(pruned, last);
    const chain = gone === last ? lastChain : prunedChain?.toString("hex");
    const lost = gone > after && chain !== undefined ? [lostByReceiver(after + 1, gone, chain)] : [];
    if (gone > after && lost.length === 0) return { epoch, frames: [] };
    const frames = gone < last ? this.frames(lane, Math.max(after, pruned), limits) : [];
    const own: StoredFrame[] = [];
    for (const frame of frames) {
      if (frame.first > last) break;
      // what could not be read where one epoch ends and the next begins is one hole on disk
      const isCut = frame.first + frame.count - 1 > last;
      if (!isCut) own.push(frame);
      else if (frame.hole !== undefined) own.push({ ...frame, count: last - frame.first + 1, chain: lastChain });
    }
    return { epoch, frames: [...lost, ...own] };
  }

  /** Without it nobody reads on, so the reserve pays for it. */
  #setAside(lane: QueueLane, fault: Fault): void {
    const { transactions, statements, sealing, running, now } = this.#deps;
    const write = (lanes: StagedLanes): void =>
      setAside({ statements, sealing }, lane, lanes.touch(lane), fault, { at: now(), runMs: running.now() });
    for (let tried = 0; ; tried++) {
      try {
        transactions.run(write);
        break;
      } catch (error) {
        if (!isQueueFull(error)) throw error;
        transactions.makeRoom();
        if (tried > 0) throw error;
      }
    }
    this.#deps.onSetAside(lane, fault);
  }

  #lane(lane: QueueLane): Readonly<LaneState> {
    return this.#deps.lanes.get(lane) as LaneState;
  }
}

/** A hole that says what central lost and nobody has any more. `chain`: its value behind it. */
function lostByReceiver(first: number, last: number, chain: string): StoredFrame {
  return { first, count: last - first + 1, recordedAt: 0, events: new Uint8Array(), chain, hole: "lost-by-receiver" };
}
