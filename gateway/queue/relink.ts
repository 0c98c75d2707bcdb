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
 * Links the frames from `first` on anew, behind `chain`: what stood before them is gone, and nothing tells its value of the chain. Each is held to its
 * old value first, but for the one right behind the gap, so that nothing damaged gets a value that fits: one that did not fit before
 * does not fit after, and whoever reads it finds it. Inside the caller's transaction.
 * @returns the last value
 */
export function relink({ statements, sealing }: RelinkDeps, lane: QueueLane, first: number, chain: Buffer): Buffer {
  let last = chain;
  let before: Buffer | undefined;
  let position = framePosition(lane, first) - 1;
  let count = 1;
  for (;;) {
    const page =
      "SELECT position, count, chain, hole, key, events, linked_to FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";
    const rows = statements.all(page, position, laneEnd(lane), framesAtOnce);
    if (rows.length === 0) return last;
    for (const row of rows) {
      // rows that lie out of order would come again and again
      if ((row.position as number) <= position) throw new Contradiction("frames lie out of order");
      // behind another gap nobody can tell either what stood there
      if (position + count !== row.position) before = undefined;
      position = row.position as number;
      count = row.count as number;
      const old = Buffer.from(row.chain as Uint8Array);
      const events = row.hole === null ? openEvents(sealing, lane, row) : undefined;
      const linkedTo = linkOf(row) ?? before;
      const fits = events !== undefined && (linkedTo === undefined || chainNext(linkedTo, events).equals(old));
      const link = fits ? last : null;
      last = events !== undefined && fits ? chainNext(last, events) : createHash("sha256").update(last).update(old).digest();
      before = old;
      statements.run("UPDATE frames SET chain = ?, linked_to = ? WHERE position = ?", last, link, position);
    }
  }
}

/** The value that a row says its own was made from; undefined where it does not tell. */
export function linkOf(row: Record<string, unknown> | undefined): Buffer | undefined {
  const link = row?.linked_to;
  return link instanceof Uint8Array ? Buffer.from(link) : undefined;
}

/** The chain's value behind a sequence; undefined where no frame and no hole ends there. */
export function chainAt(statements: Statements, lane: QueueLane, sequence: number): Buffer | undefined {
  const query = "SELECT position, count, chain FROM frames WHERE position <= ? AND position > ? ORDER BY position DESC LIMIT 1";
  const row = statements.get(query, framePosition(lane, sequence), framePosition(lane, 0));
  const ends = row && sequenceAt(row.position as number) + (row.count as number) - 1;
  return ends === sequence ? Buffer.from(row?.chain as Uint8Array) : undefined;
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
