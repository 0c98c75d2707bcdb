import { existsSync } from "node:fs";
import { backup, DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { openSqlite } from "../storage/database.ts";
import { diskRefuses, isLocked } from "../storage/folder.ts";
import type { Schema } from "../storage/schema.ts";
import { sqliteDialect } from "../storage/sqlite-dialect.ts";
import type { Storage } from "../storage/storage.ts";
import type { Progress } from "./archive.ts";

/** Pages of one step, 8 MiB: central writes between two of them. */
const stepPages = 2048;

/** A ledger of one moment, which central may go on writing meanwhile. */
export interface HeldLedger extends Disposable {
  /** Of the ledger, at most. */
  readonly bytes: number;
  copyTo(file: string, progress?: Progress): Promise<void>;
}

/**
 * Holds the state of a ledger for a reader of its own. SQLite's backup begins anew whenever another process writes, and beside a busy central never
 * ends; within a read transaction it copies what that sees, step by step (measured: ADR 0120).
 * @throws PlantgateError CONFIG_INVALID where there is no ledger; DATA_FOLDER_LOCKED where another process holds it; DISK_FAILED
 */
export function holdLedger(file: string): HeldLedger {
  if (!existsSync(file)) throw new PlantgateError("CONFIG_INVALID", `there is no ledger here: ${file} is missing`);
  let database: DatabaseSync | undefined;
  let bytes: number;
  try {
    database = new DatabaseSync(file, { timeout: 5000 });
    database.exec("PRAGMA query_only = 1; BEGIN");
    // the first read begins the transaction's state
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    const pages = database.prepare("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size").get();
    bytes = Number(pages?.bytes);
  } catch (cause) {
    database?.close();
    if (isDamage(cause)) throw damaged(describeError(cause));
    if (!isLocked(cause)) throw diskRefuses(`the ledger ${file} cannot be read`, cause);
    throw new PlantgateError("DATA_FOLDER_LOCKED", `the ledger ${file} is in use by another process: try again`, { cause });
  }
  const held = database;
  return {
    bytes,
    async copyTo(target, progress) {
      await backup(held, target, {
        rate: stepPages,
        progress: ({ totalPages, remainingPages }) => progress?.(totalPages - remainingPages, totalPages),
      });
    },
    [Symbol.dispose]: () => held.close(),
  };
}

/** SQLITE_CORRUPT, SQLITE_NOTADB and what extends them. */
function isDamage(error: unknown): boolean {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
  return code === 11 || code === 26;
}

function damaged(how: string): PlantgateError {
  return new PlantgateError("DISK_FAILED", `the ledger is damaged: ${how}`);
}

/**
 * Opens a copy, judges every page of it, and closes it: what is in it afterwards is only what was copied.
 * @throws PlantgateError DISK_FAILED where it is damaged
 */
export async function inCopy<Value>(file: string, read: (db: Storage) => Promise<Value>): Promise<Value> {
  judgePages(file);
  const db = new Kysely<Schema>({ dialect: sqliteDialect(() => openSqlite(file)) });
  try {
    return await read(db);
  } finally {
    await db.destroy();
  }
}

function judgePages(file: string): void {
  const database = new DatabaseSync(file);
  let said: string;
  try {
    const rows = database.prepare("PRAGMA integrity_check(3)").all() as { integrity_check: string }[];
    const foreign = database.prepare("PRAGMA foreign_key_check").all();
    said = foreign.length > 0 ? "rows in it refer to others that are missing" : rows.map((row) => row.integrity_check).join("; ");
  } catch (error) {
    said = describeError(error);
  } finally {
    database.close();
  }
  if (said !== "ok") throw damaged(said);
}
