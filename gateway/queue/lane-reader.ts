import type { EpochMs, Lane } from "../../protocol/index.ts";
import type { NextFrames, QueueLane, StoredFrame } from "./change.ts";
import { type Fault, FrameReader, type ReadLimits } from "./frames.ts";
import type { LaneState, StagedLanes } from "./lane-state.ts";
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
    const lost: StoredFrame = {
      first: after + 1,
      count: pruned - after,
      recordedAt: 0,
      events: new Uint8Array(),
      chain: prunedChain.toString("hex"),
      hole: "lost-by-receiver",
    };
    return { epoch, frames: [lost, ...frames] };
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
