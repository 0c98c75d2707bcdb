import { chainNext } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import type { LaneState } from "./lane-state.ts";
import type { LaneMark } from "./mark.ts";
import { openEvents, type RelinkDeps } from "./relink.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";

/** Of the 36 characters of two random epochs some thirty differ; of one that bits flipped in, few. */
const differingCharacters = 4;

/** Fields of a lane's row that do not fit its frames or its mark, where these tell the right ones. @returns whether there were any */
export function mendLane(deps: RelinkDeps, lane: QueueLane, state: LaneState, mark: LaneMark | undefined): boolean {
  const newest =
    "SELECT position, count, hole, key, events, chain FROM frames WHERE position > ? AND position <= ? ORDER BY position DESC LIMIT 1";
  const row = deps.statements.get(newest, framePosition(lane, 0), laneEnd(lane));
  const end = row ? sequenceAt(row.position as number) + (row.count as number) : state.pruned + 1;
  const mended = [
    mendEpoch(state, mark),
    mendNext(state, end, mark?.next),
    row && end === state.next && mendChain(deps, lane, state, row),
  ];
  return mended.some((each) => each === true);
}

/** A new epoch is another one altogether: one that is nearly the mark's is the mark's. */
export function mendEpoch(state: LaneState, mark: LaneMark | undefined): boolean {
  if (!mark || mark.epoch === state.epoch) return false;
  const differing = [...mark.epoch].filter((character, at) => character !== state.epoch[at]).length;
  if (differing > differingCharacters) return false;
  state.epoch = mark.epoch;
  return true;
}

/** A next sequence that does not fit the frames, where the mark or the frames themselves tell the right one. */
function mendNext(state: LaneState, end: number, marked: number | undefined): boolean {
  if (end === state.next || !Number.isSafeInteger(end) || (end < state.next && marked !== end)) return false;
  state.next = end;
  return true;
}

/** The lane's value of the chain and its newest frame's are the same; where not, what the frame links to tells which one is right. */
function mendChain(deps: RelinkDeps, lane: QueueLane, state: LaneState, row: Record<string, unknown>): boolean {
  const chain = Buffer.from(row.chain as Uint8Array);
  if (chain.equals(state.chain)) return false;
  const before = "SELECT position, count, chain FROM frames WHERE position < ? AND position > ? ORDER BY position DESC LIMIT 1";
  const previous = deps.statements.get(before, row.position as number, framePosition(lane, 0));
  const events = row.hole === null ? openEvents(deps.sealing, lane, row) : undefined;
  const right = previous && events && chainNext(Buffer.from(previous.chain as Uint8Array), events);
  // then it is the frame's, which whoever reads it mends
  if (right?.equals(state.chain)) return false;
  state.chain = chain;
  return true;
}
