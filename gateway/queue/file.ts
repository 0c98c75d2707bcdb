import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { type EpochMs, lanes as uplinkLanes } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { chainGenesis } from "./frame.ts";
import type { KernelTime } from "./running-time.ts";
import { formatVersion, schema } from "./schema.ts";

export const queueLanes: readonly QueueLane[] = [...uplinkLanes, "inbound"];

export interface OpenOptions {
  readonly path: string;
  readonly site: string;
  readonly kernel: KernelTime;
  readonly now: () => EpochMs;
}

export function markPath(path: string): string {
  return `${path}.mark`;
}

/** Tells the next start that the file was found damaged. */
export function damageFlag(path: string): string {
  return `${path}.damaged`;
}

/** Tells the next start that the file was found damaged while it was read. */
export function noteDamage(path: string): void {
  writeFileSync(damageFlag(path), "", { flush: true });
}

/** SQLITE_CORRUPT (11) and SQLITE_NOTADB (26): what lies on disk is not a database any more. */
export function isDamage(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" && [11, 26].includes(code & 0xff);
}

export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  // FULL: COMMIT returns after the WAL was flushed; with NORMAL a power cut takes back what was acknowledged.
  // auto_vacuum counts for a file that is made now: space is given back in steps when there is time (space.ts)
  db.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;
    PRAGMA journal_size_limit = 16777216; PRAGMA busy_timeout = 5000;`);
  return db;
}

export function makeTables(db: DatabaseSync, site: string): void {
  db.exec(schema);
  db.prepare("INSERT INTO meta VALUES ('format', ?), ('site', ?)").run(String(formatVersion), site);
  const insert = db.prepare("INSERT INTO lanes VALUES (?, ?, 1, NULL, NULL, 1, 0, 0, ?, ?, 0, ?, 0, 0)");
  for (const lane of queueLanes) {
    const epoch = randomUUID();
    const genesis = chainGenesis(site, lane, epoch);
    insert.run(lane, epoch, genesis, genesis, genesis);
  }
}
