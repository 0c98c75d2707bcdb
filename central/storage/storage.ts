import { Kysely, SqliteDialect, type Transaction } from "kysely";
import { Migrator } from "kysely/migration";
import { PlantgateError } from "../../protocol/index.ts";
import { type OpenDatabase, openSqlite } from "./database.ts";
import { migrations } from "./migrations.ts";
import type { Schema } from "./schema.ts";

/**
 * One connection: Kysely lets one transaction at a time on it, so the handle itself must never be used inside a transaction's callback.
 */
export type Storage = Kysely<Schema>;
export type StorageTransaction = Transaction<Schema>;

/**
 * Opens the ledger and brings its schema up to date.
 * @throws PlantgateError FORMAT_NEWER when a newer central has written it; DISK_FAILED
 */
export async function openStorage(file: string, openDatabase: OpenDatabase = openSqlite): Promise<Storage> {
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: async () => openDatabase(file) }) });
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
  if (error === undefined) return db;
  await db.destroy();
  const newer = error instanceof Error && error.message.includes("previously executed migration");
  if (newer) throw new PlantgateError("FORMAT_NEWER", `${file} was written by a newer version`, { cause: error });
  throw new PlantgateError("DISK_FAILED", `${file} cannot be opened`, { cause: error });
}

/** Whether the engine itself cannot work now (full disk, I/O error, no memory), so that nothing is said about the data at hand. */
export function isOutage(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode;
  // primary result codes: 5 BUSY, 7 NOMEM, 10 IOERR, 13 FULL, 14 CANTOPEN
  return typeof code === "number" && [5, 7, 10, 13, 14].includes(code & 0xff);
}
