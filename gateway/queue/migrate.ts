import type { DatabaseSync } from "node:sqlite";
import { chainGenesis } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { deadLetterBytes, tellsOfDiscarded } from "./dead-letters.ts";
import {
  bootsTable,
  deadLettersTable,
  deliveriesAgain,
  deliveriesTable,
  framePosition,
  framesTable,
  heldTable,
  laneEnd,
  lanesTable,
  newTables,
} from "./schema.ts";

/** Frames moved in one transaction: bounds what the migration of a long backlog adds to the file. */
const framesAtOnce = 200;

/**
 * Format 1 → 2, inside the caller's transaction, which also notes the new format: an older program refuses the file from then on.
 * Frames stay where they are and are moved by {@link moveOldFrames}, which a crash may interrupt at any step.
 */
export function migrateFrom1(db: DatabaseSync, site: string): void {
  db.exec(`
    ALTER TABLE boots RENAME TO old_boots; ALTER TABLE lanes RENAME TO old_lanes; ALTER TABLE frames RENAME TO old_frames;
    ALTER TABLE deliveries RENAME TO old_deliveries; ALTER TABLE dead_letters RENAME TO old_dead_letters;
    DROP INDEX deliveries_by_key;
    ${bootsTable}${lanesTable}${framesTable}${deliveriesTable}${deadLettersTable}${newTables}
    INSERT INTO lanes SELECT lane, epoch, epoch_first, chain, predecessor_epoch, predecessor_last, next, acknowledged, dispatched, chain,
      acknowledged_chain, 0, NULL, 0, 0, 0 FROM old_lanes;
    INSERT INTO deliveries (id, connector, key, flow, target, type, message_id, state, head, attempts, reason, created_at, run_at, waited_ms, again, line)
      SELECT id, connector, key, flow, target, coalesce(line ->> '$.type', ''), coalesce(line ->> '$.id', ''), state, 0, attempts, reason,
      created_at, 0, 0, 0, CAST(line AS BLOB) FROM old_deliveries;
    INSERT INTO dead_letters SELECT id, at, direction, connector, flow, place, code, reason, attempts, NULL, NULL, NULL, body
      FROM old_dead_letters;
    DROP TABLE old_boots; DROP TABLE old_lanes; DROP TABLE old_deliveries; DROP TABLE old_dead_letters;
  `);
  const update = db.prepare(
    `UPDATE lanes SET epoch_chain = :genesis, pruned = :pruned, pruned_chain = iif(:pruned = acknowledged, acknowledged_chain, NULL)
      WHERE lane = :lane`,
  );
  for (const row of db.prepare("SELECT lane, epoch, next FROM lanes").all()) {
    const [lane, epoch] = [row.lane as QueueLane, row.epoch as string];
    const [from, to] = [framePosition(lane, 0), laneEnd(lane)];
    const oldest = db.prepare("SELECT min(position) AS at FROM old_frames WHERE position BETWEEN ? AND ?").get(from, to);
    const first = oldest?.at as number | null;
    const pruned = first === null ? (row.next as number) - 1 : first - from - 1;
    update.run({ genesis: chainGenesis(site, lane, epoch), pruned, lane });
  }
  derive(db);
}

/**
 * Format 2 → 3, inside the caller's transaction. Markers tell what they stand for; those that are there do not, and take nothing new for a
 * repeat. What each connector has lying here is counted when the file is opened ({@link deriveHeld}).
 */
export function migrateFrom2(db: DatabaseSync): void {
  db.exec(`ALTER TABLE markers ADD COLUMN content TEXT; ${heldTable}`);
}

/**
 * Format 3 → 4, inside the caller's transaction. Frames tell what they are linked to; those that are there do not. Deliveries that may have been
 * made before are found by their message.
 */
export function migrateFrom3(db: DatabaseSync): void {
  db.exec(`ALTER TABLE frames ADD COLUMN linked_to BLOB; ${deliveriesAgain}`);
}

/** What each connector has lying here, counted anew from the rows. */
export function deriveHeld(db: DatabaseSync): void {
  db.exec(`
    DELETE FROM held;
    INSERT INTO held (connector, kind, count, bytes) SELECT connector, 'deliveries', count(*), sum(length(line)) FROM deliveries GROUP BY connector;
    INSERT INTO held (connector, kind, count, bytes) SELECT connector, direction, count(*), sum(${deadLetterBytes}) FROM dead_letters WHERE NOT ${tellsOfDiscarded}
      GROUP BY connector, direction;
  `);
}

/** Moves what is left of a format 1 file's frames, each step durable by itself. */
export function moveOldFrames(db: DatabaseSync): void {
  const left = db.prepare("SELECT name FROM sqlite_master WHERE name = 'old_frames'");
  if (left.get() === undefined) return;
  while (left.get() !== undefined) {
    db.exec("BEGIN IMMEDIATE");
    const last = db
      .prepare("SELECT max(position) AS at FROM (SELECT position FROM old_frames ORDER BY position LIMIT ?)")
      .get(framesAtOnce)?.at as number | null;
    if (last === null) db.exec("DROP TABLE old_frames");
    else {
      db.prepare(
        "INSERT INTO frames (position, count, recorded_at, run_at, chain, events, inputs) SELECT position, count, recorded_at, 0, chain, events, inputs FROM old_frames WHERE position <= ?",
      ).run(last);
      db.prepare("DELETE FROM old_frames WHERE position <= ?").run(last);
    }
    db.exec("COMMIT");
  }
  db.exec("BEGIN IMMEDIATE");
  derive(db);
  db.exec("COMMIT");
}

/** What is kept beside the rows, made anew from them: bytes per lane, totals, the first delivery of each key. */
export function derive(db: DatabaseSync): void {
  const size = "coalesce(sum(length(events) + coalesce(length(inputs), 0)), 0)";
  const count = db.prepare(`SELECT ${size} AS bytes FROM frames WHERE position > ? AND position <= ?`);
  const rows = db.prepare("SELECT lane, acknowledged, dispatched FROM lanes").all();
  for (const { lane, acknowledged, dispatched } of rows as { lane: QueueLane; acknowledged: number; dispatched: number }[]) {
    const after = (sequence: number): number => count.get(framePosition(lane, sequence), laneEnd(lane))?.bytes as number;
    const waiting = after(lane === "inbound" ? dispatched : acknowledged);
    db.prepare("UPDATE lanes SET bytes = ?, waiting_bytes = ? WHERE lane = ?").run(after(0), waiting, lane);
  }
  db.exec(`
    UPDATE deliveries SET head = (id = (SELECT min(f.id) FROM deliveries f WHERE f.connector = deliveries.connector AND f.key = deliveries.key));
    INSERT OR REPLACE INTO totals (one, deliveries, delivery_bytes, unknown, parked, dead_letters) SELECT 1, (SELECT count(*) FROM deliveries), (SELECT coalesce(sum(length(line)), 0) FROM deliveries),
      (SELECT count(*) FROM deliveries WHERE state = 'unknown'), (SELECT count(*) FROM deliveries WHERE state = 'parked'),
      (SELECT count(*) FROM dead_letters);
  `);
}
