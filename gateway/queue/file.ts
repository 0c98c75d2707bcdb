import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { chainGenesis, type EpochMs, lanes as uplinkLanes } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { codeOf, UnknownHeader } from "./damage.ts";
import type { FormatSteps } from "./format.ts";
import type { ProbeRoom } from "./room.ts";
import type { KernelTime } from "./running-time.ts";
import { formatVersion, schema } from "./schema.ts";

export const queueLanes: readonly QueueLane[] = [...uplinkLanes, "inbound"];

export interface OpenOptions {
  readonly path: string;
  readonly site: string;
  readonly kernel: KernelTime;
  readonly now: () => EpochMs;
  readonly probeRoom?: ProbeRoom;
  /** The version that opens it is on trial: a step of the format that the version before cannot live with waits. */
  readonly onTrial?: boolean | undefined;
  /** Steps of the format that the program knows, where it is another than this one. */
  readonly steps?: FormatSteps | undefined;
}

export function markPath(path: string): string {
  return `${path}.mark`;
}

export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    // FULL: COMMIT returns after the WAL was flushed; with NORMAL a power cut takes back what was acknowledged.
    // auto_vacuum counts for a file that is made now: space is given back in steps when there is time (space.ts)
    db.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;
      PRAGMA journal_size_limit = 16777216; PRAGMA busy_timeout = 5000;`);
    db.prepare("SELECT count(*) FROM sqlite_master").get();
  } catch (error) {
    db.close();
    // SQLITE_ERROR (1) for statements that are right: the file's format is none that SQLite knows
    throw codeOf(error) === 1 ? new UnknownHeader("the file's header is none of SQLite's", { cause: error }) : error;
  }
  return db;
}

export function makeTables(db: DatabaseSync, site: string): void {
  db.exec(schema);
  db.prepare("INSERT INTO meta VALUES ('format', ?), ('site', ?)").run(String(formatVersion), site);
  db.exec("INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0)");
  const insert =
    db.prepare(`INSERT INTO lanes (lane, epoch, epoch_first, epoch_chain, predecessor_epoch, predecessor_last, next, acknowledged, dispatched,
    chain, acknowledged_chain, pruned, pruned_chain, bytes, waiting_bytes, again_up_to) VALUES (?, ?, 1, ?, NULL, NULL, 1, 0, 0, ?, ?, 0, ?, 0, 0, 0)`);
  for (const lane of queueLanes) {
    const epoch = randomUUID();
    const genesis = chainGenesis(site, lane, epoch);
    insert.run(lane, epoch, genesis, genesis, genesis, genesis);
  }
}
