import { Kysely, type Transaction } from "kysely";
import { Migrator } from "kysely/migration";
import { PlantgateError } from "../../protocol/index.ts";
import { type OpenDatabase, openSqlite } from "./database.ts";
import { migrations } from "./migrations.ts";
import { describeDatabase, isPostgresOutage, postgresDialect } from "./postgres.ts";
import type { Schema } from "./schema.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";

/**
 * On SQLite one connection: Kysely lets one transaction at a time on it, so the handle itself must never be used inside a transaction's
 * callback. On PostgreSQL a pool.
 */
export type Storage = Kysely<Schema>;
export type StorageTransaction = Transaction<Schema>;

/** Where the ledger lies: in a file of the data folder, or in a PostgreSQL database that several replicas share. */
export type StorageTarget =
  | { readonly kind: "sqlite"; readonly file: string; readonly openDatabase?: OpenDatabase | undefined }
  | { readonly kind: "postgres"; readonly url: string };

/**
 * Opens the ledger and brings its schema up to date; replicas that start together take turns.
 * @throws PlantgateError FORMAT_NEWER when a newer central has written it; CONFIG_INVALID for a server that may lose what it confirms;
 * PEER_UNREACHABLE, DISK_FAILED
 */
export async function openStorage(target: StorageTarget): Promise<Storage> {
  const dialect =
    target.kind === "sqlite"
      ? sqliteDialect(() => (target.openDatabase ?? openSqlite)(target.file))
      : postgresDialect(target.url);
  const where = target.kind === "sqlite" ? target.file : describeDatabase(target.url);
  const db = new Kysely<Schema>({ dialect });
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
  if (error === undefined) return db;
  await db.destroy();
  if (error instanceof PlantgateError && error.code === "CONFIG_INVALID") throw error;
  const newer = error instanceof Error && error.message.includes("previously executed migration");
  if (newer) throw new PlantgateError("FORMAT_NEWER", `${where} was written by a newer version`, { cause: error });
  const code = target.kind === "postgres" ? "PEER_UNREACHABLE" : "DISK_FAILED";
  throw new PlantgateError(code, `${where} cannot be opened`, { cause: error });
}

/** Whether the storage itself cannot work now (full disk, I/O error, no connection), so that nothing is said about the data at hand. */
export function isOutage(error: unknown): boolean {
  if (error instanceof PlantgateError) return error.code === "PEER_UNREACHABLE" || error.code === "CONFIG_INVALID";
  if (isPostgresOutage(error)) return true;
  const code = (error as { errcode?: unknown }).errcode;
  // SQLite's primary result codes: 5 BUSY, 7 NOMEM, 10 IOERR, 13 FULL, 14 CANTOPEN
  return typeof code === "number" && [5, 7, 10, 13, 14].includes(code & 0xff);
}
