import { Kysely, sql } from "kysely";
import pg from "pg";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { LedgerGate } from "../storage/gate.ts";
import { writeMeta } from "../storage/incarnation.ts";
import { LedgerClient } from "../storage/password-file.ts";
import { clientConfig } from "../storage/pool.ts";
import { describeDatabase, halfRestored, postgresDialect, restoringMark, schemaMark } from "../storage/postgres.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage } from "../storage/storage.ts";
import { readFacts } from "./facts.ts";
import type { LedgerFacts } from "./manifest.ts";
import { type BackupNote, noteName } from "./note.ts";
import { giveRights } from "./postgres-rights.ts";
import { dump, judgeDump, requireTool } from "./postgres-tools.ts";
import { requireRoom } from "./room.ts";

const tablesThere =
  "EXISTS (SELECT FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r')";

/** Held by a restore alone, or by backups together, per schema. */
const restoreLock = "hashtextextended('plantgate-restore ' || current_schema(), 0)";

/**
 * Dumps a database of one moment: what is said of it is read in the snapshot that pg_dump copies, so that the two agree however busy it is.
 * @throws PlantgateError CONFIG_INVALID, PEER_UNREACHABLE
 */
export async function dumpDatabase(
  url: string,
  file: string,
  folder: string,
): Promise<{ facts: LedgerFacts; server: string; schema: string }> {
  return inDatabase(url, async (db) => {
    const { version, bytes, schema } = await serverOf(db);
    if (schema === null) throw noSchema();
    await requireTool("pg_dump", majorOf(version));
    await requireTool("pg_restore", majorOf(version));
    requireRoom(folder, 2 * bytes, "the backup");
    return db
      .transaction()
      .setIsolationLevel("repeatable read")
      .execute(async (tx) => {
        await sql`SET LOCAL idle_in_transaction_session_timeout = 0`.execute(tx);
        const { rows } = await sql<{ snapshot: string; held: boolean; mark: string | null }>`
          SELECT pg_try_advisory_xact_lock_shared(${sql.raw(restoreLock)}) AS held, ${sql.raw(schemaMark)} AS mark,
            pg_export_snapshot() AS snapshot`.execute(tx);
        const { snapshot = "", held = false, mark = null } = rows[0] ?? {};
        if (!held) throw new PlantgateError("DATA_FOLDER_LOCKED", "a restore fills this database: take the backup after it");
        if (mark === restoringMark) throw halfRestored();
        const facts = await readFacts(tx);
        await dump(url, { schema, snapshot, file });
        await judgeDump(file);
        return { facts, server: version, schema };
      });
  });
}

/** A connection of its own, for whatever time its statements take. */
export async function inDatabase<Value>(url: string, work: (db: Storage) => Promise<Value>): Promise<Value> {
  const db = new Kysely<Schema>({ dialect: postgresDialect(url, "migrating", new LedgerGate()) });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

/** `bytes`: of the tables in the schema that central works in; no schema: the search path names none that is there. */
async function serverOf(
  db: Storage,
): Promise<{ readonly version: string; readonly bytes: number; readonly schema: string | null }> {
  const { rows } = await sql<{ version: string; bytes: number; schema: string | null }>`
    SELECT current_setting('server_version') AS version, current_schema() AS schema,
      (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
        WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'm')) AS bytes`.execute(db);
  const [row] = rows;
  if (!row) throw new PlantgateError("INVARIANT", "a server did not say its version");
  return row;
}

export function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}

export async function noteInDatabase(url: string, note: BackupNote): Promise<void> {
  await inDatabase(url, (db) => writeMeta(db, noteName, JSON.stringify(note)));
}

/**
 * Makes room in a database for another ledger: what is there moves aside, into a schema of another name, and back if `fill` fails. Central does not
 * start on it meanwhile, nor after a restore that was cut off: the schema bears a mark of its own, which replicas see that have other folders.
 * @param earlier where restores that were cut off, and that this one goes on from, moved what they found; oldest first
 * @returns rights of before that could not be given again; undefined: nothing whole was there before
 */
export async function asideInDatabase(
  url: string,
  aside: string,
  fill: (schema: string) => Promise<void>,
  earlier: readonly string[] = [],
): Promise<readonly string[] | undefined> {
  let filled: { readonly before: string | undefined } | undefined;
  const client = new LedgerClient(clientConfig(url));
  // one that ends while nothing is asked of it is told of by the next question
  client.on("error", () => {});
  try {
    await client.connect();
    // filling may take hours, in which nothing comes over this connection
    await client.query("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'");
    const { rows } = await client.query<{ schema: string | null; taken: boolean; held: boolean; found: string | null }>(
      `SELECT current_schema() AS schema, pg_try_advisory_lock(${restoreLock}) AS held,
        ${tablesThere} AS taken, ${schemaMark} AS found`,
    );
    const { schema = null, taken = false, held = false, found = null } = rows[0] ?? {};
    if (schema === null) throw noSchema();
    if (!held)
      throw new PlantgateError("DATA_FOLDER_LOCKED", "a backup of this database is being taken, or another restore fills it");
    const [own, other] = [schema, aside].map((each) => pg.escapeIdentifier(each)) as [string, string];
    const mark = `COMMENT ON SCHEMA ${own} IS '${restoringMark}'`;
    if (taken) await client.query(`BEGIN; ALTER SCHEMA ${own} RENAME TO ${other}; CREATE SCHEMA ${own}; ${mark}; COMMIT`);
    // an empty one may be somebody else's, who lets us fill it and not remark on it
    else await client.query(mark).catch(() => {});
    let before: string | undefined;
    try {
      before = await wholeBefore(client, [...earlier, aside]);
      await fill(schema);
      filled = { before: before ?? (taken ? aside : undefined) };
    } catch (error) {
      if (taken)
        await client
          .query(`BEGIN; DROP SCHEMA ${own} CASCADE; ALTER SCHEMA ${other} RENAME TO ${own}; COMMIT`)
          .catch((cause: unknown) => {
            throw notBack(error, aside, cause);
          });
      // what was there before may lie aside, by one that was cut off: its mark stays
      else if (found !== restoringMark && !(await hasTables(client))) await unmark(client, own);
      throw error;
    }
    const notGiven = before === undefined ? undefined : await giveRights(client, schema, before);
    await unmark(client, own);
    return notGiven;
  } catch (error) {
    if (error instanceof PlantgateError) throw error;
    if (filled) throw notGivenBack(url, filled.before, error);
    throw new PlantgateError("PEER_UNREACHABLE", `the database ${describeDatabase(url)} cannot be prepared`, { cause: error });
  } finally {
    await client.end().catch(() => {});
  }
}

function notBack(error: unknown, aside: string, cause: unknown): PlantgateError {
  return new PlantgateError(
    "PEER_UNREACHABLE",
    `${describeError(error)}; and what was there could not be put back: it lies in the schema ${aside}. Run the restore again, with --replace`,
    { cause },
  );
}

function notGivenBack(url: string, before: string | undefined, cause: unknown): PlantgateError {
  const lies = before === undefined ? "" : `; what was there before lies in the schema ${before}`;
  return new PlantgateError(
    "PEER_UNREACHABLE",
    `the ledger is in the database ${describeDatabase(url)}, which did not answer any more when owners and rights were given${lies}. Run the restore again, with --replace`,
    { cause },
  );
}

/** The first of these schemas that is there and whole; one that a restore filled, and did not come to its end in, has its mark and nobody's rights. */
async function wholeBefore(client: pg.Client, asides: readonly string[]): Promise<string | undefined> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT nspname AS name FROM pg_namespace
      WHERE nspname = ANY($1::text[]) AND obj_description(oid, 'pg_namespace') IS DISTINCT FROM '${restoringMark}'`,
    [asides],
  );
  const whole = new Set(rows.map(({ name }) => name));
  return asides.find((aside) => whole.has(aside));
}

async function hasTables(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(`SELECT ${tablesThere} AS taken`);
  return rows[0]?.taken ?? false;
}

/** Also of one that was cut off before. */
async function unmark(client: pg.Client, schema: string): Promise<void> {
  const { rows } = await client.query<{ mark: string | null }>(`SELECT ${schemaMark} AS mark`);
  if (rows[0]?.mark === restoringMark) await client.query(`COMMENT ON SCHEMA ${schema} IS NULL`);
}

/** Those of these schemas that are there. */
export async function schemasThere(url: string, names: readonly string[]): Promise<string[]> {
  return inDatabase(url, async (db) => {
    const { rows } = await sql<{ name: string }>`SELECT nspname AS name FROM pg_namespace`.execute(db);
    const there = new Set(rows.map(({ name }) => name));
    return names.filter((name) => there.has(name));
  });
}

/** What a restore may find in the database that it goes into. */
interface DatabaseUse {
  readonly tables: number;
  readonly centrals: number;
  readonly version: string;
  readonly schema: string;
}

/** @throws PlantgateError CONFIG_INVALID where there is no schema to work in */
export async function databaseInUse(url: string): Promise<DatabaseUse> {
  return inDatabase(url, async (db) => {
    const { rows } = await sql<{ tables: number; centrals: number }>`
      SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r') AS tables,
        (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plantgate-central'
          AND pid <> pg_backend_pid()) AS centrals`.execute(db);
    const { version, schema } = await serverOf(db);
    if (schema === null) throw noSchema();
    return { tables: rows[0]?.tables ?? 0, centrals: rows[0]?.centrals ?? 0, version, schema };
  });
}

function noSchema(): PlantgateError {
  return new PlantgateError(
    "CONFIG_INVALID",
    "there is no schema to work in: search_path of the database or role names none that is there; create it first (CREATE SCHEMA)",
  );
}
