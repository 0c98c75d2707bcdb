import { createHash } from "node:crypto";
import type { EpochMs } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { type RechainDeps, rechain } from "./epoch.ts";
import type { Fault } from "./frames.ts";
import type { LaneState } from "./lane-state.ts";
import { framePosition } from "./schema.ts";
import type { Statements } from "./statements.ts";

export interface Moment {
  readonly at: EpochMs;
  readonly runMs: number;
}

/**
 * Puts a hole where messages cannot be read, so that what is behind them gets on and the range is reported (P2). Rows that are there
 * are kept for a person in `set_aside`. Inside the caller's transaction.
 */
export function setAside(deps: RechainDeps, lane: QueueLane, state: LaneState, fault: Fault, moment: Moment): void {
  const { statements } = deps;
  const { first, count, reason } = fault;
  const position = framePosition(lane, first);
  if (!fault.rows) return putLostHole(deps, lane, state, fault, moment);
  const row = statements.get("SELECT chain, events, inputs FROM frames WHERE position = ?", position);
  if (!row) return;
  const keep =
    "INSERT OR REPLACE INTO set_aside SELECT position, count, recorded_at, ?, ?, chain, key, events, inputs FROM frames WHERE position = ?";
  statements.run(keep, reason, moment.at, position);
  statements.run("DELETE FROM frames WHERE position = ?", position);
  const bytes = (row.events as Uint8Array).byteLength + ((row.inputs as Uint8Array | null)?.byteLength ?? 0);
  state.bytes -= bytes;
  if (first > (lane === "inbound" ? state.dispatched : state.acknowledged)) state.waitingBytes -= bytes;
  insertHole(statements, lane, { first, count, reason, chain: row.chain as Uint8Array }, moment);
}

/**
 * A hole for messages of which nothing is left, in a lane or at its end. Their values of the chain are gone as well, so the chain goes on
 * from a value of its own, and what stands behind the hole is linked to that.
 */
export function putLostHole(
  deps: RechainDeps,
  lane: QueueLane,
  state: LaneState,
  { first, count }: { readonly first: number; readonly count: number },
  moment: Moment,
): void {
  const chain = createHash("sha256").update(state.chain).update(`lost:${first}:${count}`).digest();
  insertHole(deps.statements, lane, { first, count, reason: "damaged", chain }, moment);
  state.next = Math.max(state.next, first + count);
  state.chain = rechain(deps, lane, { first: first + count, chain, sealedIn: state.epoch, epoch: state.epoch });
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
