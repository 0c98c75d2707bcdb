import { type DatabaseConnection, type Dialect, PostgresDialect, PostgresDriver, type TransactionSettings } from "kysely";
import pg from "pg";
import { PlantgateError } from "../../protocol/index.ts";
import type { LedgerGate } from "./gate.ts";
import { openPool, type PoolUse } from "./pool.ts";

/** Kysely's PostgreSQL over our own pool. */
export function postgresDialect(url: string, use: PoolUse, gate: LedgerGate): Dialect {
  const config = { pool: async () => openPool(url, use, gate) };
  const dialect = new PostgresDialect(config);
  return {
    createDriver: () => new ReadCommittedDriver(config),
    createAdapter: () => dialect.createAdapter(),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createIntrospector: (db) => dialect.createIntrospector(db),
  };
}

/**
 * What is read behind a lock has to be what was committed before the lock was had: a session that ended meanwhile, a watermark. A stricter
 * isolation, which a database or a role may have as its default, shows what was there before the wait.
 */
class ReadCommittedDriver extends PostgresDriver {
  override beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return super.beginTransaction(connection, { ...settings, isolationLevel: settings.isolationLevel ?? "read committed" });
  }
}

/**
 * What a server says when it cannot work now: SQLSTATE classes 08 connection, 53 resources (disk full, too many connections), 57
 * intervention (shutdown, cancelled statement), 58 system; 25006 a read-only standby, 25P03 a transaction cut for idleness, 40001, 40P01
 * and 55P03 a lost race for locks, 42501 a right that its role has lost.
 */
export function isPostgresOutage(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return false;
  return /^(?:08|53|57|58)/.test(error.code) || ["25006", "25P03", "40001", "40P01", "42501", "55P03"].includes(error.code);
}

/** 22021, 22P05: text with a zero character, which PostgreSQL stores nowhere: nothing that was written here has one. */
export function isUnstorableText(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === "22021" || error.code === "22P05");
}

/** XX001 data corrupted, XX002 index corrupted. */
export function isPostgresDamage(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === "XX001" || error.code === "XX002");
}

/** Where a database is, for a log or a person: never with its password. */
export function describeDatabase(url: string): string {
  try {
    const { protocol, hostname, port, pathname } = new URL(url);
    return `${protocol}//${hostname}${port === "" ? "" : `:${port}`}${pathname}`;
  } catch {
    return "postgres://(an address that cannot be read)";
  }
}

/** SQL for what is remarked on the schema that central works in. */
export const schemaMark = "obj_description(quote_ident(current_schema())::regnamespace, 'pg_namespace')";

/** The remark on a schema that a restore fills: until it is gone, what lies there is not whole. */
export const restoringMark = "plantgate: a restore fills this schema";

export function halfRestored(): PlantgateError {
  return new PlantgateError(
    "CONFIG_INVALID",
    'a restore into this database goes on, or did not come to its end: run "plantgate restore" again, with --replace',
  );
}
