import { createHash } from "node:crypto";
import { chainNext, hasDisposition } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { Contradiction } from "./damage.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

/** Frames looked at together: after a long outage a lane does not fit into memory. */
const framesAtOnce = 100;

export interface RelinkDeps {
  readonly statements: Statements;
  readonly sealing: Sealing;
}

/**
 * Links the frames from `first` on anew, behind `chain`: what stood before them is gone, and its value of the chain with it. Each is held to its
 * old value first, but for the one right behind the gap, so that nothing damaged gets a value that fits: one that did not fit before
 * does not fit after, and whoever reads it finds it. Inside the caller's transaction.
 * @returns the last value
 */
export function relink({ statements, sealing }: RelinkDeps, lane: QueueLane, first: number, chain: Buffer): Buffer {
  let last = chain;
  let before: Buffer | undefined;
  let position = framePosition(lane, first) - 1;
  for (;;) {
    const page =
      "SELECT position, count, chain, hole, key, events FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";
    const rows = statements.all(page, position, laneEnd(lane), framesAtOnce);
    if (rows.length === 0) return last;
    for (const row of rows) {
      // rows that lie out of order would come again and again
      if ((row.position as number) <= position) throw new Contradiction("frames lie out of order");
      position = row.position as number;
      const old = Buffer.from(row.chain as Uint8Array);
      const events = row.hole === null ? openEvents(sealing, lane, row) : undefined;
      const fits = events !== undefined && (before === undefined || chainNext(before, events).equals(old));
      last = events !== undefined && fits ? chainNext(last, events) : createHash("sha256").update(last).update(old).digest();
      before = old;
      statements.run("UPDATE frames SET chain = ? WHERE position = ?", last, position);
    }
  }
}

/** A row's compressed frame; undefined where it does not open. */
export function openEvents(sealing: Sealing, lane: QueueLane, row: Record<string, unknown>): Uint8Array | undefined {
  const place = places.frame(lane, sequenceAt(row.position as number), row.count as number, "events");
  try {
    return sealing.open(row.key as number | null, row.events as Uint8Array, place);
  } catch (error) {
    if (!hasDisposition(error, "quarantine")) throw error;
    return undefined;
  }
}
