import type { DatabaseSync } from "node:sqlite";
import type { LaneDepth, QueueDepth, QueueLane } from "./change.ts";
import { framePosition, laneEnd } from "./schema.ts";
import { readTotals } from "./totals.ts";

/** How much waits, of which lane and since when; used by the writer and, on a read-only handle that never disturbs it, by `plantgate queue`. */
export function readDepth(db: DatabaseSync): QueueDepth {
  const lanes = db
    .prepare("SELECT * FROM lanes ORDER BY lane")
    .all()
    .map((row) => laneDepth(db, row));
  const oldest = db.prepare("SELECT created_at FROM deliveries ORDER BY id LIMIT 1").get()?.created_at as number | undefined;
  const { deliveries, unknown, parked, deadLetters } = readTotals({ get: (sql) => db.prepare(sql).get() });
  return {
    lanes,
    deliveries: { waiting: deliveries - unknown - parked, unknown, parked, oldestAt: oldest ?? null },
    deadLetters,
  };
}

function laneDepth(db: DatabaseSync, row: Record<string, unknown>): LaneDepth {
  const lane = row.lane as QueueLane;
  const done = (lane === "inbound" ? row.dispatched : row.acknowledged) as number;
  const oldest = db
    .prepare("SELECT recorded_at FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT 1")
    .get(framePosition(lane, done), laneEnd(lane));
  return {
    lane,
    epoch: row.epoch as string,
    predecessor:
      row.predecessor_epoch === null
        ? null
        : { epoch: row.predecessor_epoch as string, lastSequence: row.predecessor_last as number },
    epochFirst: row.epoch_first as number,
    epochChain: Buffer.from(row.epoch_chain as Uint8Array).toString("hex"),
    last: (row.next as number) - 1,
    acknowledged: row.acknowledged as number,
    dispatched: row.dispatched as number,
    oldestAt: (oldest?.recorded_at as number | undefined) ?? null,
    waitingBytes: row.waiting_bytes as number,
    storedBytes: row.bytes as number,
  };
}
