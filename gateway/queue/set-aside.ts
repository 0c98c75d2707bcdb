import { createHash } from "node:crypto";
import { chainNext, type EpochMs } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { Contradiction } from "./damage.ts";
import type { Fault } from "./frames.ts";
import type { LaneState } from "./lane-state.ts";
import { chainAt, linkOf, openEvents, type RelinkDeps, relink } from "./relink.ts";
import { framePosition, holeColumns, laneEnd } from "./schema.ts";
import type { Statements } from "./statements.ts";

export interface Moment {
  readonly at: EpochMs;
  readonly runMs: number;
}

/**
 * Deals with what a reader found: a hole where messages cannot be read, so that what is behind them gets on and the range is reported
 * (P2); a row where no other place is for it goes; a wrong field is mended. Rows are kept for a person in `set_aside`. Inside the
 * caller's transaction.
 * @throws Contradiction where the file does not have what the reader saw: whoever reads it again would see the same for ever
 */
export function setAside(deps: RelinkDeps, lane: QueueLane, state: LaneState, fault: Fault, moment: Moment): void {
  const { statements } = deps;
  const position = framePosition(lane, fault.first);
  switch (fault.kind) {
    case "mend":
      if (fault.chain) changeOne(statements, "UPDATE frames SET chain = ? WHERE position = ?", fault.chain, position);
      if (fault.before) mendBefore(state, fault.first, fault.before);
      if (fault.count) changeOne(statements, "UPDATE frames SET count = ? WHERE position = ?", fault.count, position);
      return;
    case "missing":
      // what ends the gap lies behind the lane's end: its position is wrong, and the gap is none
      if (fault.first + fault.count > state.next || holdsAny(statements, position, fault.count))
        throw new Contradiction("frames are there that were not read");
      if (moveBack(statements, lane, state, fault)) return;
      return putLostHole(deps, lane, state, fault, moment);
    case "stray":
      if (!isOverlapped(statements, position)) throw new Contradiction("frames lie out of order");
      moveAside(statements, lane, state, fault, moment);
      return;
    case "frame":
      insertHole(statements, lane, { ...fault, chain: moveAside(statements, lane, state, fault, moment) }, moment);
  }
}

/** The lane's own note of the chain's value before its first frame, or before what central has not acknowledged. */
function mendBefore(state: LaneState, first: number, before: Uint8Array): void {
  const chain = Buffer.from(before);
  if (state.pruned === first - 1) state.prunedChain = chain;
  if (state.epochFirst === first) state.epochChain = chain;
  if (state.acknowledged === first - 1) state.acknowledgedChain = chain;
}

/**
 * The frame behind a gap, where it reaches into what follows it by as much as the gap is long: then its position is wrong, and no message is
 * missing. @returns whether it was that
 */
function moveBack(statements: Statements, lane: QueueLane, state: LaneState, gap: { first: number; count: number }): boolean {
  const behind = framePosition(lane, gap.first + gap.count);
  const query = "SELECT position, count FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT 2";
  const [row, next] = statements.all(query, behind, laneEnd(lane));
  const end = (next?.position as number | undefined) ?? framePosition(lane, state.next);
  if (row?.position !== behind || behind + (row.count as number) - end !== gap.count) return false;
  changeOne(statements, "UPDATE frames SET position = ? WHERE position = ?", framePosition(lane, gap.first), behind);
  return true;
}

function holdsAny(statements: Statements, position: number, count: number): boolean {
  const query = "SELECT 1 FROM frames WHERE position >= ? AND position < ? LIMIT 1";
  return statements.get(query, position, position + count) !== undefined;
}

/** Whether the row before reaches behind a position, as it is found by itself. */
function isOverlapped(statements: Statements, position: number): boolean {
  const before = statements.get("SELECT position, count FROM frames WHERE position < ? ORDER BY position DESC LIMIT 1", position);
  return (
    before !== undefined &&
    (before.position as number) < position &&
    (before.position as number) + (before.count as number) > position
  );
}

function changeOne(statements: Statements, ...[sql, ...values]: Parameters<Statements["run"]>): void {
  if (statements.run(sql, ...values).changes !== 1) throw new Contradiction("a frame is not where it was read");
}

/** @returns the row's value of the chain */
function moveAside(
  statements: Statements,
  lane: QueueLane,
  state: LaneState,
  { first, reason }: Extract<Fault, { reason: string }>,
  { at }: Moment,
): Uint8Array {
  const position = framePosition(lane, first);
  const size = "length(events) + coalesce(length(inputs), 0) AS bytes";
  const row = statements.get(`SELECT chain, ${size} FROM frames WHERE position = ?`, position);
  if (!row) throw new Contradiction("a frame is not where it was read");
  const keep =
    "INSERT OR REPLACE INTO set_aside (position, count, recorded_at, reason, found_at, chain, key, events, inputs) SELECT position, count, recorded_at, ?, ?, chain, key, events, inputs FROM frames WHERE position = ?";
  statements.run(keep, reason, at, position);
  changeOne(statements, "DELETE FROM frames WHERE position = ?", position);
  const bytes = row.bytes as number;
  state.bytes = Math.max(0, state.bytes - bytes);
  const waited = first > (lane === "inbound" ? state.dispatched : state.acknowledged);
  if (waited) state.waitingBytes = Math.max(0, state.waitingBytes - bytes);
  return row.chain as Uint8Array;
}

/**
 * A hole for messages of which nothing is left, in a lane or at its end. It says the chain's value that what stands behind it goes on from, so
 * that nothing is rewritten. Where nobody can tell that value it has one of its own, and what stands behind it is linked to that.
 */
export function putLostHole(
  deps: RelinkDeps,
  lane: QueueLane,
  state: LaneState,
  { first, count }: { readonly first: number; readonly count: number },
  moment: Moment,
): void {
  const last = first + count - 1;
  const own = createHash("sha256").update(state.chain).update(`lost:${first}:${count}`).digest();
  const known: Buffer[] = [];
  if (last === state.next - 1) known.push(state.chain);
  if (last === state.acknowledged) known.push(state.acknowledgedChain);
  if (last === state.epochFirst - 1) known.push(state.epochChain);
  const { chain, relinks } = linkBehind(deps, lane, last, known);
  insertHole(deps.statements, lane, { first, count, reason: "damaged", chain: chain ?? own }, moment);
  if (last >= state.next) {
    state.next = last + 1;
    state.chain = chain ?? own;
  }
  if (relinks) relinkBehind(deps, lane, state, last, chain ?? own);
}

/** The value of the chain that what follows `last` goes on from, among what is known of it; `relinks`: it has to be linked to another one. */
function linkBehind(
  { statements, sealing }: RelinkDeps,
  lane: QueueLane,
  last: number,
  known: readonly Buffer[],
): { readonly chain: Buffer | undefined; readonly relinks: boolean } {
  const query = "SELECT position, count, chain, hole, key, events, linked_to FROM frames WHERE position = ?";
  const row = statements.get(query, framePosition(lane, last + 1));
  // the chain goes on from whatever a hole says
  if (!row || row.hole !== null) return { chain: known[0], relinks: false };
  const events = openEvents(sealing, lane, row);
  const linkedTo = linkOf(row);
  const value = Buffer.from(row.chain as Uint8Array);
  const chain = events && [...(linkedTo ? [linkedTo] : []), ...known].find((each) => chainNext(each, events).equals(value));
  // one that tells its link and does not fit it is damaged, as whoever reads it finds
  return { chain: chain ?? known[0], relinks: chain === undefined && linkedTo === undefined };
}

/** Frames of a file of format 1 to 3 do not tell what they are linked to. What central has of them was linked otherwise: then it finds a fork. */
function relinkBehind(deps: RelinkDeps, lane: QueueLane, state: LaneState, last: number, chain: Buffer): void {
  state.chain = relink(deps, lane, last + 1, chain);
  if (state.acknowledged >= last) state.acknowledgedChain = chainAt(deps.statements, lane, state.acknowledged) ?? chain;
  if (state.epochFirst > last) state.epochChain = chainAt(deps.statements, lane, state.epochFirst - 1) ?? chain;
}

function insertHole(
  statements: Statements,
  lane: QueueLane,
  { first, count, reason, chain }: { first: number; count: number; reason: string; chain: Uint8Array },
  { at, runMs }: Moment,
): void {
  const insert = `INSERT INTO frames ${holeColumns} VALUES (?, ?, ?, ?, ?, ?, x'')`;
  statements.run(insert, framePosition(lane, first), count, at, runMs, chain, reason);
}
