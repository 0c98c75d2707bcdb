import { randomUUID } from "node:crypto";
import type { Change, QueueLane } from "./change.ts";
import type { LaneState, StagedLanes } from "./lane-state.ts";
import type { Retention } from "./retention.ts";
import { framePosition, sequenceAt } from "./schema.ts";
import type { Statements } from "./statements.ts";

/** How a lane's positions move. All of it inside the caller's transaction. */

/** Takes note of central's word. An answer to a batch of an epoch that was closed meanwhile says nothing about this one. */
export function acknowledge(
  statements: Statements,
  retention: Retention,
  lanes: StagedLanes,
  { lane, epoch, watermark }: NonNullable<Change["acknowledged"]>,
): void {
  const known = lanes.get(lane);
  if (epoch === known.epoch && watermark >= known.acknowledged) retention.confirmed(lane);
  else retention.heard();
  if (epoch !== known.epoch || watermark <= known.acknowledged || watermark >= known.next) return;
  const frame = lastFrameUpTo(statements, lane, watermark);
  // frames are acknowledged whole, whatever the other side counts
  if (!frame || frame.last <= known.acknowledged) return;
  const state = lanes.touch(lane);
  retention.taken(lane, state, state.acknowledged, frame.last);
  state.acknowledged = frame.last;
  state.acknowledgedChain = frame.chain;
  retention.noteAcknowledged(lane, frame.last);
  retention.prune(lane, lanes, false);
}

/** What is not acknowledged begins a new random epoch that names this one (rule 4). Sequences, messages and the chain go on as they are. */
export function beginEpoch(state: LaneState): void {
  state.predecessor = { epoch: state.epoch, lastSequence: state.acknowledged };
  state.epoch = randomUUID();
  state.epochFirst = state.acknowledged + 1;
  state.epochChain = state.acknowledgedChain;
}

/** What lies behind the watermark and is still here waits again, as if it had never been acknowledged. */
export function setBack(statements: Statements, lane: QueueLane, lanes: StagedLanes, watermark: number): void {
  const known = lanes.get(lane);
  const least = Math.max(watermark, known.pruned, known.epochFirst - 1);
  if (least >= known.acknowledged) return;
  const frame = lastFrameUpTo(statements, lane, least);
  const chain = frame && frame.last > known.pruned ? frame.chain : (known.prunedChain ?? known.epochChain);
  const back = frame && frame.last > known.pruned ? frame.last : known.pruned;
  if (back < known.epochFirst - 1) return;
  const query =
    "SELECT coalesce(sum(length(events) + coalesce(length(inputs), 0)), 0) AS bytes FROM frames WHERE position > ? AND position <= ?";
  const from = framePosition(lane, back);
  const bytes = statements.get(query, from, framePosition(lane, known.acknowledged))?.bytes as number;
  statements.run("DELETE FROM acks WHERE lane = ? AND sequence > ?", lane, back);
  const state = lanes.touch(lane);
  state.waitingBytes += bytes;
  state.acknowledged = back;
  state.acknowledgedChain = chain;
}

function lastFrameUpTo(
  statements: Statements,
  lane: QueueLane,
  sequence: number,
): { readonly last: number; readonly chain: Buffer } | undefined {
  const query =
    "SELECT position, count, chain FROM frames WHERE position <= ? AND position > ? AND position + count - 1 <= ? ORDER BY position DESC LIMIT 1";
  const at = framePosition(lane, sequence);
  const row = statements.get(query, at, framePosition(lane, 0), at);
  if (!row) return undefined;
  return { last: sequenceAt(row.position as number) + (row.count as number) - 1, chain: Buffer.from(row.chain as Uint8Array) };
}
