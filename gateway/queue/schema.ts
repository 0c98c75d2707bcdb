import type { QueueLane } from "./change.ts";

/** Version of the queue's format on disk; a file of a newer version is refused, never touched. */
export const formatVersion = 1;

/** Frames of a lane lie together: the primary key is lane number × 2^48 + first sequence, so each lane appends at one place. */
export const laneNumbers: Readonly<Record<QueueLane, number>> = { transaction: 1, bulk: 2, telemetry: 3, inbound: 4 };
const laneSpan = 2 ** 48;

export function framePosition(lane: QueueLane, sequence: number): number {
  return laneNumbers[lane] * laneSpan + sequence;
}
export function laneEnd(lane: QueueLane): number {
  return (laneNumbers[lane] + 1) * laneSpan - 1;
}
export function sequenceAt(position: number): number {
  return position % laneSpan;
}

// No secondary index on frames: the hot path only ever appends, reads and deletes by position.
export const schema = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE boots (id TEXT PRIMARY KEY, at INTEGER NOT NULL, kernel_boot TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lanes (
  lane TEXT PRIMARY KEY, epoch TEXT NOT NULL, epoch_first INTEGER NOT NULL, predecessor_epoch TEXT, predecessor_last INTEGER,
  next INTEGER NOT NULL, acknowledged INTEGER NOT NULL, dispatched INTEGER NOT NULL, chain BLOB NOT NULL, acknowledged_chain BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE frames (position INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_at INTEGER NOT NULL, chain BLOB NOT NULL, events BLOB NOT NULL, inputs BLOB) STRICT;
CREATE TABLE repeats (first INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE markers (client TEXT NOT NULL, packet INTEGER NOT NULL, PRIMARY KEY (client, packet)) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, connector TEXT NOT NULL, key TEXT NOT NULL, flow TEXT NOT NULL, target TEXT NOT NULL,
  line TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, reason TEXT, created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_key ON deliveries (connector, key, id);
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, direction TEXT NOT NULL, connector TEXT NOT NULL, flow TEXT, place TEXT NOT NULL,
  code TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL, attempts INTEGER NOT NULL
) STRICT;
`;
