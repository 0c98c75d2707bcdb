import type { DatabaseSync } from "node:sqlite";
import type { LaneDepth, QueueDepth, QueueLane } from "./change.ts";
import { framePosition, laneEnd } from "./schema.ts";

/** How much waits, of which lane and since when; used by the writer and, on a read-only handle that never disturbs it, by `plantgate queue`. */
export function readDepth(db: DatabaseSync): QueueDepth {
  const lanes = db
    .prepare("SELECT * FROM lanes ORDER BY lane")
    .all()
    .map((row) => laneDepth(db, row));
  const count = (sql: string): number => db.prepare(sql).get()?.n as number;
  const oldest = db.prepare("SELECT created_at FROM deliveries ORDER BY id LIMIT 1").get()?.created_at as number | undefined;
  const unknown = count("SELECT count(*) AS n FROM deliveries WHERE state = 'unknown'");
  const parked = count("SELECT count(*) AS n FROM deliveries WHERE state = 'parked'");
  return {
    lanes,
    deliveries: {
      waiting: count("SELECT count(*) AS n FROM deliveries") - unknown - parked,
      unknown,
      parked,
      oldestAt: oldest ?? null,
    },
    deadLetters: count("SELECT count(*) AS n FROM dead_letters"),
  };
}

function laneDepth(db: DatabaseSync, row: Record<string, unknown>): LaneDepth {
  const lane = row.lane as QueueLane;
  const done = (lane === "inbound" ? row.dispatched : row.acknowledged) as number;
  const [from, to] = [framePosition(lane, done), laneEnd(lane)];
  const oldest = db
    .prepare("SELECT recorded_at FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT 1")
    .get(from, to);
  return {
    lane,
    epoch: row.epoch as string,
    predecessor:
      row.predecessor_epoch === null
        ? null
        : { epoch: row.predecessor_epoch as string, lastSequence: row.predecessor_last as number },
    epochFirst: row.epoch_first as number,
    last: (row.next as number) - 1,
    acknowledged: row.acknowledged as number,
    dispatched: row.dispatched as number,
    oldestAt: (oldest?.recorded_at as number | undefined) ?? null,
    waitingBytes: row.waiting_bytes as number,
    storedBytes: row.bytes as number,
  };
}
