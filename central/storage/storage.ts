import { Kysely, sql, type Transaction } from "kysely";
import { Migrator } from "kysely/migration";
import { PlantgateError } from "../../protocol/index.ts";
import { type OpenDatabase, openSqlite } from "./database.ts";
import { isPostgres } from "./dialect.ts";
import { LedgerGate } from "./gate.ts";
import { migrations } from "./migrations.ts";
import {
  describeDatabase,
  halfRestored,
  isPostgresDamage,
  isPostgresOutage,
  postgresDialect,
  restoringMark,
  schemaMark,
} from "./postgres.ts";
import type { Schema } from "./schema.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";

/**
 * On SQLite one connection: Kysely lets one transaction at a time on it, so the handle itself must never be used inside a transaction's
 * callback. On PostgreSQL a pool.
 */
export type Storage = Kysely<Schema>;
export type StorageTransaction = Transaction<Schema>;
/** For what may be read in a transaction and without one. */
export type Database = Storage | StorageTransaction;

/** Where the ledger lies: in a file of the data folder, or in a PostgreSQL database that several replicas share. */
export type StorageTarget =
  | { readonly kind: "sqlite"; readonly file: string; readonly openDatabase?: OpenDatabase | undefined }
  | { readonly kind: "postgres"; readonly url: string };

/**
 * Opens the ledger and brings its schema up to date; replicas that start together take turns.
 * @param gate is shut, for good, once another ledger is behind the database's name; from then on nothing is asked of it
 * @throws PlantgateError FORMAT_NEWER when a newer central has written it; CONFIG_INVALID for a server that may lose what it confirms, and where a restore
 * was cut off; PEER_UNREACHABLE, DISK_FAILED
 */
export async function openStorage(target: StorageTarget, gate = new LedgerGate()): Promise<Storage> {
  if (target.kind === "sqlite") {
    const db = new Kysely<Schema>({ dialect: sqliteDialect(() => (target.openDatabase ?? openSqlite)(target.file)) });
    const failure = await migrate(db, target.file, "DISK_FAILED");
    if (failure) await db.destroy();
    if (failure) throw failure;
    return db;
  }
  const migrating = new Kysely<Schema>({ dialect: postgresDialect(target.url, "migrating", gate) });
  const isHalf = await isHalfRestored(migrating);
  const failure = isHalf ? halfRestored() : await migrate(migrating, describeDatabase(target.url), "PEER_UNREACHABLE");
  await migrating.destroy();
  if (failure) throw failure;
  return new Kysely<Schema>({ dialect: postgresDialect(target.url, "work", gate) });
}

/** A handle of its own for what only reads, and may take long. On SQLite there is one connection, and all share it. */
export function openReading(target: StorageTarget, storage: Storage, gate: LedgerGate): Storage {
  return target.kind === "sqlite" ? storage : new Kysely<Schema>({ dialect: postgresDialect(target.url, "reading", gate) });
}

/** Reads several things of one state of the ledger, whatever others commit meanwhile. */
export function inSnapshot<Value>(storage: Storage, read: (tx: StorageTransaction) => Promise<Value>): Promise<Value> {
  const transaction = storage.transaction();
  return (isPostgres(storage) ? transaction.setIsolationLevel("repeatable read") : transaction).execute(read);
}

async function isHalfRestored(db: Storage): Promise<boolean> {
  // what hinders this hinders the migration too, which says so
  const said = await sql<{ mark: string | null }>`SELECT ${sql.raw(schemaMark)} AS mark`.execute(db).catch(() => undefined);
  return said?.rows[0]?.mark === restoringMark;
}

async function migrate(
  db: Storage,
  where: string,
  code: "DISK_FAILED" | "PEER_UNREACHABLE",
): Promise<PlantgateError | undefined> {
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
  if (error === undefined) return undefined;
  if (error instanceof PlantgateError && error.code === "CONFIG_INVALID") return error;
  const newer = error instanceof Error && error.message.includes("previously executed migration");
  if (newer) {
    const advice = "use that version, or restore a backup that this one made (plantgate restore); nothing of it was changed";
    return new PlantgateError("FORMAT_NEWER", `${where} was written by a newer version: ${advice}`, { cause: error });
  }
  return new PlantgateError(code, `${where} cannot be opened`, { cause: error });
}

/**
 * Whether the storage itself cannot work now (full disk, I/O error, no connection, no right to write, damage), so that nothing is said about
 * the data at hand.
 */
export function isOutage(error: unknown): boolean {
  if (error instanceof PlantgateError) return ["PEER_UNREACHABLE", "CONFIG_INVALID", "LEDGER_REPLACED"].includes(error.code);
  if (isPostgresOutage(error)) return true;
  const code = sqliteCode(error);
  // 5 BUSY, 7 NOMEM, 8 READONLY, 10 IOERR, 13 FULL, 14 CANTOPEN, 26 NOTADB
  return isStorageDamage(error) || (code !== undefined && [5, 7, 8, 10, 13, 14, 26].includes(code));
}

/** Whether the storage found what it holds damaged (SQLite's CORRUPT): where one batch is read, that batch; elsewhere an outage. */
export function isStorageDamage(error: unknown): boolean {
  return isPostgresDamage(error) || sqliteCode(error) === 11;
}

/** SQLite's primary result code. */
function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}
