import { PlantgateError } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";

/** Version of the queue's format on disk; a file of a newer version is refused, never touched. */
export const formatVersion = 4;

/** Frames of a lane lie together: the primary key is lane number × 2^48 + first sequence, so each lane appends at one place. */
export const laneNumbers: Readonly<Record<QueueLane, number>> = { transaction: 1, bulk: 2, telemetry: 3, inbound: 4 };
const laneSpan = 2 ** 48;

export function framePosition(lane: QueueLane, sequence: number): number {
  return laneNumbers[lane] * laneSpan + sequence;
}
export function laneEnd(lane: QueueLane): number {
  return (laneNumbers[lane] + 1) * laneSpan - 1;
}
export function laneAt(position: number): QueueLane {
  const number = Math.floor(position / laneSpan);
  const lane = (Object.keys(laneNumbers) as QueueLane[]).find((each) => laneNumbers[each] === number);
  if (!lane) throw new PlantgateError("FRAME_CORRUPT", `no lane has the number ${number}`);
  return lane;
}
export function sequenceAt(position: number): number {
  return position % laneSpan;
}

// No secondary index on frames: the hot path only ever appends, reads and deletes by position. What is small stands before what is
// large, so that reading it follows no overflow pages. A hole has its reason and no events. `key` names the sealing key, NULL: plain.
// `linked_to`: the chain's value that a frame's own was made from, NULL for holes and where a file of format 1 to 3 did not tell. What stands
// before it may be gone: it still tells that the frame is whole, and what a hole in that place has to say. Read only where something is wrong.
export const framesTable = `
CREATE TABLE frames (
  position INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_at INTEGER NOT NULL, run_at INTEGER NOT NULL, chain BLOB NOT NULL,
  hole TEXT, key INTEGER, events BLOB NOT NULL, inputs BLOB, linked_to BLOB
) STRICT;`;

/** What is written of a hole. Rows are written by the names of their columns: a newer format may have more of them (format.ts). */
export const holeColumns = "(position, count, recorded_at, run_at, chain, hole, events)";

// Since format 4: what is dispatched again finds its row by the message, however many rows its key has.
export const deliveriesAgain = "CREATE INDEX deliveries_again ON deliveries (message_id) WHERE again = 1;";

// The first row of a key in each connector's queue is its head, noted so that finding what may be tried does not depend on the backlog.
export const deliveriesTable = `
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, connector TEXT NOT NULL, key TEXT NOT NULL, flow TEXT NOT NULL, target TEXT NOT NULL,
  type TEXT NOT NULL, message_id TEXT NOT NULL, state_key TEXT, state TEXT NOT NULL DEFAULT 'waiting', head INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, reason TEXT, created_at INTEGER NOT NULL,
  run_at INTEGER NOT NULL, waited_ms INTEGER NOT NULL, central_at INTEGER, again INTEGER NOT NULL, sealed_by INTEGER, line BLOB NOT NULL
) STRICT;
CREATE INDEX deliveries_by_key ON deliveries (connector, key, id);
CREATE INDEX deliveries_heads ON deliveries (connector, id) WHERE head = 1 AND state NOT IN ('unknown', 'parked');
CREATE INDEX deliveries_sent ON deliveries (connector, id) WHERE state = 'sent';
CREATE INDEX deliveries_undecided ON deliveries (state, id) WHERE state IN ('unknown', 'parked');
${deliveriesAgain}`;

export const deadLettersTable = `
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, direction TEXT NOT NULL, connector TEXT NOT NULL, flow TEXT, place TEXT NOT NULL,
  code TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, type TEXT, key TEXT, sealed_by INTEGER, body BLOB NOT NULL
) STRICT;`;

// `totals`: how many rows there are, kept with each change: counting a long backlog takes the writer's time.
// `received`: events that came from central, as `repeats` are of the plant. `acks`: at running time run_at everything up to sequence was acknowledged. `set_aside`: what a hole replaced because it could not be
// read (damaged, or its key is missing), kept for a person. `sealing_keys`: one subkey per opened file, derived from a data key and a salt.
export const newTables = `
CREATE TABLE acks (lane TEXT NOT NULL, sequence INTEGER NOT NULL, run_at INTEGER NOT NULL, PRIMARY KEY (lane, sequence)) STRICT, WITHOUT ROWID;
CREATE TABLE set_aside (
  position INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_at INTEGER NOT NULL, reason TEXT NOT NULL, found_at INTEGER NOT NULL,
  chain BLOB NOT NULL, key INTEGER, events BLOB NOT NULL, inputs BLOB
) STRICT;
CREATE TABLE received (first INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE totals (
  one INTEGER PRIMARY KEY CHECK (one = 1), deliveries INTEGER NOT NULL, delivery_bytes INTEGER NOT NULL, unknown INTEGER NOT NULL,
  parked INTEGER NOT NULL, dead_letters INTEGER NOT NULL
) STRICT;
CREATE TABLE sealing_keys (id INTEGER PRIMARY KEY, data_key TEXT NOT NULL, salt BLOB NOT NULL) STRICT;
`;

// `epoch_chain`: the chain's value before the epoch's first message. `pruned`: the highest sequence deleted, and its value of the chain; NULL where a file of format 1 did not tell. `bytes`: of all
// frames here, `waiting_bytes`: of those that central (inbound: local destinations) has not taken yet. `again_up_to`: may have been
// delivered before, as the file was set back or damaged.
export const lanesTable = `
CREATE TABLE lanes (
  lane TEXT PRIMARY KEY, epoch TEXT NOT NULL, epoch_first INTEGER NOT NULL, epoch_chain BLOB NOT NULL, predecessor_epoch TEXT,
  predecessor_last INTEGER, next INTEGER NOT NULL, acknowledged INTEGER NOT NULL, dispatched INTEGER NOT NULL, chain BLOB NOT NULL, acknowledged_chain BLOB NOT NULL,
  pruned INTEGER NOT NULL, pruned_chain BLOB, bytes INTEGER NOT NULL, waiting_bytes INTEGER NOT NULL,
  again_up_to INTEGER NOT NULL
) STRICT, WITHOUT ROWID;`;

export const bootsTable = `
CREATE TABLE boots (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, kernel_boot TEXT NOT NULL, run_ms INTEGER NOT NULL, uptime_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;`;

// Since format 3. `held`: what each connector has lying here, kept with each change: `kind` is deliveries, or dead letters by their direction.
export const heldTable = `
CREATE TABLE held (connector TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (connector, kind)) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_by_connector ON dead_letters (connector, direction);
`;

// `content` of a marker: hash of the message that it stands for; NULL where a file of format 1 or 2 did not tell.
export const schema = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
${bootsTable}${lanesTable}${framesTable}
CREATE TABLE repeats (first INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE markers (client TEXT NOT NULL, packet INTEGER NOT NULL, content TEXT, PRIMARY KEY (client, packet)) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
${deliveriesTable}${deadLettersTable}${newTables}${heldTable}
`;
