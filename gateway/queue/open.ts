import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { type EpochMs, lanes, PlantgateError } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { chainGenesis } from "./frame.ts";
import { formatVersion, schema } from "./schema.ts";

const queueLanes: readonly QueueLane[] = [...lanes, "inbound"];

/** Where a lane stands, as the writer keeps it in memory. */
export interface LaneState {
  epoch: string;
  epochFirst: number;
  predecessor: { epoch: string; lastSequence: number } | null;
  next: number;
  acknowledged: number;
  dispatched: number;
  chain: Buffer;
  acknowledgedChain: Buffer;
}

/**
 * Opens or makes the queue's file, and commits a boot record before anything of it is read or acknowledged (rule 4).
 * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID; what SQLite throws when the disk does not let it
 */
export function openQueueFile(options: { path: string; site: string; kernelBoot: string; now: () => EpochMs }): {
  db: DatabaseSync;
  lanes: Map<QueueLane, LaneState>;
} {
  const db = new DatabaseSync(options.path);
  // FULL: COMMIT returns after the WAL was flushed; with NORMAL a power cut takes back what was acknowledged
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA busy_timeout = 5000;");
  const known = db.prepare("SELECT name FROM sqlite_master WHERE name = 'meta'").get();
  db.exec("BEGIN IMMEDIATE");
  try {
    if (!known) make(db, options.site);
    judge(db, options.site);
    db.prepare("INSERT INTO boots VALUES (?, ?, ?)").run(randomUUID(), options.now(), options.kernelBoot);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    db.close();
    throw error;
  }
  return { db, lanes: readLanes(db) };
}

function make(db: DatabaseSync, site: string): void {
  db.exec(schema);
  db.prepare("INSERT INTO meta VALUES ('format', ?), ('site', ?)").run(String(formatVersion), site);
  const insert = db.prepare("INSERT INTO lanes VALUES (?, ?, 1, NULL, NULL, 1, 0, 0, ?, ?)");
  for (const lane of queueLanes) {
    const epoch = randomUUID();
    const genesis = chainGenesis(site, lane, epoch);
    insert.run(lane, epoch, genesis, genesis);
  }
}

function judge(db: DatabaseSync, site: string): void {
  const meta = new Map(
    db
      .prepare("SELECT name, value FROM meta")
      .all()
      .map((row) => [row.name as string, row.value as string]),
  );
  const format = Number(meta.get("format"));
  if (format > formatVersion) {
    const advice = "Use the version that wrote it; nothing was changed";
    throw new PlantgateError("FORMAT_NEWER", `the queue has format ${format}; this program knows ${formatVersion}. ${advice}`);
  }
  if (meta.get("site") !== site) {
    throw new PlantgateError("CONFIG_INVALID", `this data folder belongs to site "${meta.get("site")}", not to "${site}"`);
  }
}

function readLanes(db: DatabaseSync): Map<QueueLane, LaneState> {
  const rows = db.prepare("SELECT * FROM lanes").all();
  return new Map(
    rows.map((row) => [
      row.lane as QueueLane,
      {
        epoch: row.epoch as string,
        epochFirst: row.epoch_first as number,
        predecessor:
          row.predecessor_epoch === null
            ? null
            : { epoch: row.predecessor_epoch as string, lastSequence: row.predecessor_last as number },
        next: row.next as number,
        acknowledged: row.acknowledged as number,
        dispatched: row.dispatched as number,
        chain: Buffer.from(row.chain as Uint8Array),
        acknowledgedChain: Buffer.from(row.acknowledged_chain as Uint8Array),
      },
    ]),
  );
}
