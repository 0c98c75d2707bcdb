import { createHash } from "node:crypto";
import type { EpochMs } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import type { Fault } from "./frames.ts";
import type { LaneState } from "./lane-state.ts";
import { type RelinkDeps, relink } from "./relink.ts";
import { framePosition } from "./schema.ts";
import type { Statements } from "./statements.ts";

export interface Moment {
  readonly at: EpochMs;
  readonly runMs: number;
}

/**
 * Deals with what a reader found: a hole where messages cannot be read, so that what is behind them gets on and the range is reported
 * (P2); a row where no other place is for it goes; a wrong field is mended. Rows are kept for a person in `set_aside`. Inside the
 * caller's transaction.
 */
export function setAside(deps: RelinkDeps, lane: QueueLane, state: LaneState, fault: Fault, moment: Moment): void {
  const { statements } = deps;
  const position = framePosition(lane, fault.first);
  switch (fault.kind) {
    case "mend":
      if (fault.chain) statements.run("UPDATE frames SET chain = ? WHERE position = ?", fault.chain, position);
      if (fault.count) statements.run("UPDATE frames SET count = ? WHERE position = ?", fault.count, position);
      return;
    case "missing":
      return putLostHole(deps, lane, state, fault, moment);
    case "stray":
      moveAside(statements, lane, state, fault, moment);
      return;
    case "frame": {
      const chain = moveAside(statements, lane, state, fault, moment);
      if (chain) insertHole(statements, lane, { ...fault, chain }, moment);
    }
  }
}

/** @returns the row's value of the chain */
function moveAside(
  statements: Statements,
  lane: QueueLane,
  state: LaneState,
  { first, reason }: Extract<Fault, { reason: string }>,
  { at }: Moment,
): Uint8Array | undefined {
  const position = framePosition(lane, first);
  const size = "length(events) + coalesce(length(inputs), 0) AS bytes";
  const row = statements.get(`SELECT chain, ${size} FROM frames WHERE position = ?`, position);
  if (!row) return undefined;
  const keep =
    "INSERT OR REPLACE INTO set_aside SELECT position, count, recorded_at, ?, ?, chain, key, events, inputs FROM frames WHERE position = ?";
  statements.run(keep, reason, at, position);
  statements.run("DELETE FROM frames WHERE position = ?", position);
  const bytes = row.bytes as number;
  state.bytes = Math.max(0, state.bytes - bytes);
  const waited = first > (lane === "inbound" ? state.dispatched : state.acknowledged);
  if (waited) state.waitingBytes = Math.max(0, state.waitingBytes - bytes);
  return row.chain as Uint8Array;
}

/**
 * A hole for messages of which nothing is left, in a lane or at its end. Their values of the chain are gone as well, so the chain goes on
 * from a value of its own, and what stands behind the hole is linked to that.
 */
export function putLostHole(
  deps: RelinkDeps,
  lane: QueueLane,
  state: LaneState,
  { first, count }: { readonly first: number; readonly count: number },
  moment: Moment,
): void {
  const chain = createHash("sha256").update(state.chain).update(`lost:${first}:${count}`).digest();
  insertHole(deps.statements, lane, { first, count, reason: "damaged", chain }, moment);
  state.next = Math.max(state.next, first + count);
  state.chain = relink(deps, lane, first + count, chain);
}

function insertHole(
  statements: Statements,
  lane: QueueLane,
  { first, count, reason, chain }: { first: number; count: number; reason: string; chain: Uint8Array },
  { at, runMs }: Moment,
): void {
  const insert = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, NULL, x'', NULL)";
  statements.run(insert, framePosition(lane, first), count, at, runMs, chain, reason);
}
