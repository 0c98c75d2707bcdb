import type { DatabaseSync } from "node:sqlite";
import type { QueueLane } from "./change.ts";
import type { Statements } from "./statements.ts";

/**
 * Where a lane stands, as the writer keeps it in memory. Sequences up to `pruned` are deleted; `bytes` is what all its frames take,
 * `waitingBytes` what those take that central (inbound: local destinations) has not taken yet. An epoch's chain begins at `epochChain`.
 * What lies up to `againUpTo` may have been delivered before: the file was set back, or a part of it could not be read.
 */
export interface LaneState {
  epoch: string;
  epochFirst: number;
  epochChain: Buffer;
  predecessor: { epoch: string; lastSequence: number } | null;
  next: number;
  acknowledged: number;
  dispatched: number;
  chain: Buffer;
  acknowledgedChain: Buffer;
  pruned: number;
  prunedChain: Buffer | null;
  bytes: number;
  waitingBytes: number;
  againUpTo: number;
}

export function readLanes(db: DatabaseSync): Map<QueueLane, LaneState> {
  const rows = db.prepare("SELECT * FROM lanes").all();
  return new Map(rows.map((row) => [row.lane as QueueLane, toLaneState(row)]));
}

/** The lanes of a damaged file whose rows can be read. */
export function readableLanes(db: DatabaseSync): Map<QueueLane, LaneState> {
  const lanes = new Map<QueueLane, LaneState>();
  try {
    // a value of another kind than we write is no buffer's content
    for (const row of db.prepare("SELECT * FROM lanes").iterate())
      if (
        row.chain instanceof Uint8Array &&
        row.epoch_chain instanceof Uint8Array &&
        row.acknowledged_chain instanceof Uint8Array
      )
        lanes.set(row.lane as QueueLane, toLaneState(row));
  } catch {
    // what was read before stands
  }
  return lanes;
}

/** Whether a lane can be in this state: a row that reads, and says what cannot be, is damaged. */
export function isSound(state: LaneState | undefined): boolean {
  if (!state) return false;
  const { epoch, epochFirst, next, acknowledged, dispatched, pruned, bytes, waitingBytes, againUpTo } = state;
  const numbers = [epochFirst, next, acknowledged, dispatched, pruned, bytes, waitingBytes, againUpTo];
  const chains = [state.chain, state.epochChain, state.acknowledgedChain, state.prunedChain ?? state.chain];
  return (
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(epoch) &&
    numbers.every((number) => Number.isSafeInteger(number) && number >= 0) &&
    Math.max(acknowledged, dispatched, pruned, epochFirst - 1) < next &&
    chains.every(({ byteLength }) => byteLength === 32)
  );
}

function toLaneState(row: Record<string, unknown>): LaneState {
  const predecessorEpoch = row.predecessor_epoch as string | null;
  return {
    epoch: row.epoch as string,
    epochFirst: row.epoch_first as number,
    epochChain: Buffer.from(row.epoch_chain as Uint8Array),
    predecessor: predecessorEpoch === null ? null : { epoch: predecessorEpoch, lastSequence: row.predecessor_last as number },
    next: row.next as number,
    acknowledged: row.acknowledged as number,
    dispatched: row.dispatched as number,
    chain: Buffer.from(row.chain as Uint8Array),
    acknowledgedChain: Buffer.from(row.acknowledged_chain as Uint8Array),
    pruned: row.pruned as number,
    prunedChain: row.pruned_chain === null ? null : Buffer.from(row.pruned_chain as Uint8Array),
    bytes: row.bytes as number,
    waitingBytes: row.waiting_bytes as number,
    againUpTo: row.again_up_to as number,
  };
}

export function writeLane(statements: Statements, lane: QueueLane, state: LaneState): void {
  const update =
    "UPDATE lanes SET epoch = ?, epoch_first = ?, epoch_chain = ?, predecessor_epoch = ?, predecessor_last = ?, next = ?, acknowledged = ?, dispatched = ?, chain = ?, acknowledged_chain = ?, pruned = ?, pruned_chain = ?, bytes = ?, waiting_bytes = ?, again_up_to = ? WHERE lane = ?";
  statements.run(
    update,
    state.epoch,
    state.epochFirst,
    state.epochChain,
    state.predecessor?.epoch ?? null,
    state.predecessor?.lastSequence ?? null,
    state.next,
    state.acknowledged,
    state.dispatched,
    state.chain,
    state.acknowledgedChain,
    state.pruned,
    state.prunedChain,
    state.bytes,
    state.waitingBytes,
    state.againUpTo,
    lane,
  );
}

/** The lanes as a transaction sees them: what it touched is its own until it is committed. */
export class StagedLanes {
  readonly #lanes: ReadonlyMap<QueueLane, LaneState>;
  readonly #touched = new Map<QueueLane, LaneState>();

  constructor(lanes: ReadonlyMap<QueueLane, LaneState>) {
    this.#lanes = lanes;
  }

  /** For reading. */
  get(lane: QueueLane): Readonly<LaneState> {
    return this.#touched.get(lane) ?? (this.#lanes.get(lane) as LaneState);
  }

  /** For changing. */
  touch(lane: QueueLane): LaneState {
    let state = this.#touched.get(lane);
    if (!state) {
      state = { ...(this.#lanes.get(lane) as LaneState) };
      this.#touched.set(lane, state);
    }
    return state;
  }

  get touched(): boolean {
    return this.#touched.size > 0;
  }

  write(statements: Statements): void {
    for (const [lane, state] of this.#touched) writeLane(statements, lane, state);
  }

  /** What the transaction made of the lanes is what they are. */
  become(lanes: Map<QueueLane, LaneState>): void {
    for (const [lane, state] of this.#touched) lanes.set(lane, state);
  }
}
