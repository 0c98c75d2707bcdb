import type { DatabaseSync } from "node:sqlite";
import type { DeadLetter, Delivery, LaneDepth, QueueDepth, QueueLane } from "./change.ts";
import { decodeLines } from "./frame.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";

/** What can be asked of a queue's file; used by the writer's thread and, on a read-only handle that never disturbs it, by `plantgate queue`. */

export function readDepth(db: DatabaseSync): QueueDepth {
  const lanes = db
    .prepare("SELECT * FROM lanes ORDER BY lane")
    .all()
    .map((row): LaneDepth => {
      const lane = row.lane as QueueLane;
      const done = (lane === "inbound" ? row.dispatched : row.acknowledged) as number;
      // the frame that holds `done` was deleted or ends there, so all frames after it wait
      const from = framePosition(lane, done);
      const waiting = db
        .prepare(
          "SELECT min(recorded_at) AS oldest, coalesce(sum(length(events)), 0) AS bytes FROM frames WHERE position > ? AND position <= ?",
        )
        .get(from, laneEnd(lane));
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
        oldestAt: (waiting?.oldest as number | null) ?? null,
        waitingBytes: (waiting?.bytes as number) ?? 0,
      };
    });
  const deliveries = db
    .prepare(
      "SELECT count(*) AS all_of_them, coalesce(sum(state = 'unknown'), 0) AS unknown, min(created_at) AS oldest FROM deliveries",
    )
    .get();
  return {
    lanes,
    deliveries: {
      waiting: ((deliveries?.all_of_them as number) ?? 0) - ((deliveries?.unknown as number) ?? 0),
      unknown: (deliveries?.unknown as number) ?? 0,
      oldestAt: (deliveries?.oldest as number | null) ?? null,
    },
    deadLetters: (db.prepare("SELECT count(*) AS n FROM dead_letters").get()?.n as number) ?? 0,
  };
}

/** The first delivery of each key of a connector, oldest first, without those that wait for a person: what may be tried now (P4). */
export function readDeliveryHeads(db: DatabaseSync, connector: string, limit: number): Delivery[] {
  return db
    .prepare(
      "SELECT d.* FROM (SELECT min(id) AS id FROM deliveries WHERE connector = ? GROUP BY key) AS head JOIN deliveries AS d USING (id) WHERE d.state <> 'unknown' ORDER BY d.id LIMIT ?",
    )
    .all(connector, limit)
    .map(toDelivery);
}

/** Deliveries of a connector that await their receiver's answer. */
export function readSentDeliveries(db: DatabaseSync, connector: string): Delivery[] {
  return db.prepare("SELECT * FROM deliveries WHERE connector = ? AND state = 'sent' ORDER BY id").all(connector).map(toDelivery);
}

export function readDeliveries(db: DatabaseSync, limit: number): Delivery[] {
  return db.prepare("SELECT * FROM deliveries ORDER BY id LIMIT ?").all(limit).map(toDelivery);
}

function toDelivery(row: Record<string, unknown>): Delivery {
  return {
    id: row.id as number,
    connector: row.connector as string,
    key: row.key as string,
    flow: row.flow as string,
    target: row.target as string,
    line: row.line as string,
    state: row.state as Delivery["state"],
    attempts: row.attempts as number,
    reason: row.reason as string | null,
    createdAt: row.created_at as number,
  };
}

export function readDeadLetters(db: DatabaseSync, limit: number): DeadLetter[] {
  return db.prepare("SELECT * FROM dead_letters ORDER BY at DESC, id LIMIT ?").all(limit).map(toDeadLetter);
}

export function readDeadLetter(db: DatabaseSync, id: string): DeadLetter | undefined {
  const row = db.prepare("SELECT * FROM dead_letters WHERE id = ?").get(id);
  return row ? toDeadLetter(row) : undefined;
}

function toDeadLetter(row: Record<string, unknown>): DeadLetter {
  return {
    id: row.id as string,
    at: row.at as number,
    direction: row.direction as DeadLetter["direction"],
    connector: row.connector as string,
    ...(row.flow === null ? {} : { flow: row.flow as string }),
    place: row.place as string,
    code: row.code as DeadLetter["code"],
    reason: row.reason as string,
    body: row.body as Uint8Array,
    attempts: row.attempts as number,
  };
}

export interface QueuedMessage {
  readonly lane: QueueLane;
  readonly sequence: number;
  readonly recordedAt: number;
  readonly line: string;
}

/** Messages that lie in a lane, oldest first, from `sequence` on. */
export function* readMessages(db: DatabaseSync, lane: QueueLane, sequence = 0): Generator<QueuedMessage> {
  const rows = db.prepare(
    "SELECT position, count, recorded_at, events FROM frames WHERE position + count > ? AND position >= ? AND position <= ? ORDER BY position",
  );
  for (const row of rows.iterate(framePosition(lane, sequence), framePosition(lane, 0), laneEnd(lane))) {
    const first = sequenceAt(row.position as number);
    for (const [index, line] of decodeLines(row.events as Uint8Array, row.count as number).entries()) {
      if (first + index >= sequence) yield { lane, sequence: first + index, recordedAt: row.recorded_at as number, line };
    }
  }
}
