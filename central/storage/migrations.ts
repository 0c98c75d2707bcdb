import { type Kysely, sql } from "kysely";
import type { Migration, MigrationProvider } from "kysely/migration";
import { appendOnly, configuration, keysOfSites } from "./configuration-step.ts";
import { isPostgres } from "./dialect.ts";
import { namedEpochs, recovery } from "./recovery-step.ts";
import { releases, releasesOnPostgres } from "./release-step.ts";

/** Steps of the schema, in order; a step that was released is never changed. */
const steps: Record<string, Migration> = {
  "0001-ledger": { up: ledger },
  "0002-held-sites": { up: (db) => run(db, heldSites) },
  "0003-session-order": { up: (db) => run(db, sessionOrder) },
  "0004-set-aside": { up: (db) => run(db, setAside) },
  "0005-configuration": { up: configurationFromCentre },
  "0006-recovery": { up: (db) => run(db, recovery) },
  "0007-losses": { up: (db) => run(db, losses) },
  "0008-releases": { up: (db) => run(db, [...releases, ...(isPostgres(db) ? releasesOnPostgres : [])]) },
  "0009-named-epochs": { up: (db) => run(db, namedEpochs) },
};
/** Names the schema that this program brings a ledger to. */
export const lastStep = Object.keys(steps).at(-1) as string;
/** Their names: what a ledger has gone through that another program may not know. */
export const schemaSteps: readonly string[] = Object.keys(steps);
export const migrations: MigrationProvider = { getMigrations: async () => steps };

/** Migrations see the tables as they were, so no schema type applies. */
type AnySchema = Record<string, Record<string, unknown>>;

async function ledger(db: Kysely<AnySchema>): Promise<void> {
  await run(db, ledgerStatements);
  if (isPostgres(db)) for (const statement of postgresStatements) await sql.raw(statement).execute(db);
}

async function configurationFromCentre(db: Kysely<AnySchema>): Promise<void> {
  await run(db, [...configuration, ...(isPostgres(db) ? appendOnly.postgres : appendOnly.sqlite)]);
  // sites that had a document before belong to the environment that it says
  const sites = await db.selectFrom("sites").select(["name", "labels"]).execute();
  for (const { name, labels } of sites as { name: string; labels: string }[]) {
    const { environment } = JSON.parse(labels) as { environment?: string };
    // what is no name of an environment is none, and counts as prod
    if (/^[a-z0-9][a-z0-9-]{0,31}$/.test(environment ?? ""))
      await db.updateTable("sites").set({ environment }).where("name", "=", name).execute();
  }
  await keysOfSites(db);
}

async function run(db: Kysely<AnySchema>, statements: readonly string[]): Promise<void> {
  const own = isPostgres(db) ? statements.map(forPostgres) : statements;
  for (const statement of own) await sql.raw(statement).execute(db);
}

const heldSites = ["CREATE TABLE held_sites (site TEXT PRIMARY KEY REFERENCES sites, position INTEGER NOT NULL) WITHOUT ROWID"];

/**
 * The same table in PostgreSQL's words. Its integers are of 32 bits where SQLite's are of 64; text is compared by its bytes on both.
 */
function forPostgres(statement: string): string {
  return statement
    .replace(/ WITHOUT ROWID$/, "")
    .replaceAll(/\bINTEGER\b/g, "BIGINT")
    .replaceAll(/\bBLOB\b/g, "BYTEA")
    .replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"');
}

const postgresStatements = [
  // frames are compressed already, and parts of a body are read
  "ALTER TABLE batches ALTER COLUMN body SET STORAGE EXTERNAL",
];

const sessionOrder = [
  "CREATE INDEX sessions_site ON sessions (site, started_at)",
  "CREATE INDEX sessions_boot ON sessions (site, boot_id, started_at)",
];

const losses = [
  "ALTER TABLE epochs ADD COLUMN said_last INTEGER",
  "ALTER TABLE epochs ADD COLUMN said_at INTEGER",
  "ALTER TABLE epochs ADD COLUMN ended_at INTEGER",
  "CREATE TABLE downlink_losses (site TEXT NOT NULL REFERENCES sites, up_to INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (site, up_to)) WITHOUT ROWID",
];

const setAside = ["ALTER TABLE damaged ADD COLUMN position INTEGER NOT NULL DEFAULT 0"];

const ledgerStatements = [
  "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
  "INSERT INTO counters (name, value) VALUES ('ledger', 0), ('configuration', 0)",
  `CREATE TABLE sites (
    name TEXT PRIMARY KEY, public_key TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER, labels TEXT NOT NULL,
    desired_revision INTEGER NOT NULL, reported_revision INTEGER NOT NULL, session TEXT, fenced_at INTEGER,
    downlink_epoch TEXT NOT NULL, downlink_last INTEGER NOT NULL, downlink_acked INTEGER NOT NULL,
    last_heard_at INTEGER, status TEXT, status_at INTEGER, clock_skew_ms INTEGER, behind TEXT NOT NULL)`,
  `CREATE TABLE sessions (
    id TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites, boot_id TEXT NOT NULL, gateway_version TEXT NOT NULL, started_at INTEGER NOT NULL)`,
  `CREATE TABLE lanes (
    site TEXT NOT NULL REFERENCES sites, lane TEXT NOT NULL, batches INTEGER NOT NULL, recorded INTEGER NOT NULL,
    PRIMARY KEY (site, lane)) WITHOUT ROWID`,
  `CREATE TABLE projections (
    site TEXT NOT NULL REFERENCES sites, lane TEXT NOT NULL, batch INTEGER NOT NULL, done INTEGER NOT NULL, size INTEGER NOT NULL,
    attempts INTEGER NOT NULL, noted_by TEXT NOT NULL, noted_at INTEGER NOT NULL, projected INTEGER NOT NULL, PRIMARY KEY (site, lane)) WITHOUT ROWID`,
  `CREATE TABLE damaged (
    site TEXT NOT NULL, lane TEXT NOT NULL, batch INTEGER NOT NULL, done INTEGER NOT NULL, size INTEGER NOT NULL,
    attempts INTEGER NOT NULL, noted_by TEXT NOT NULL, noted_at INTEGER NOT NULL, looks INTEGER NOT NULL, looked_at INTEGER NOT NULL,
    PRIMARY KEY (site, lane, batch)) WITHOUT ROWID`,
  "CREATE INDEX damaged_turn ON damaged (looked_at)",
  `CREATE TABLE epochs (
    site TEXT NOT NULL REFERENCES sites, lane TEXT NOT NULL, epoch TEXT NOT NULL, first_sequence INTEGER NOT NULL,
    first_chain TEXT NOT NULL, predecessor_epoch TEXT, predecessor_last INTEGER, watermark INTEGER NOT NULL, chain TEXT NOT NULL, lost INTEGER NOT NULL,
    started_at INTEGER NOT NULL, moved_at INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch)) WITHOUT ROWID`,
  `CREATE TABLE holes (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL,
    reason TEXT NOT NULL, chain TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch, last_sequence)) WITHOUT ROWID`,
  `CREATE TABLE batches (
    site TEXT NOT NULL, lane TEXT NOT NULL, number INTEGER NOT NULL, epoch TEXT NOT NULL, first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL, count INTEGER NOT NULL, frames TEXT NOT NULL, chain_before TEXT NOT NULL,
    chains BLOB NOT NULL, inflated_bytes INTEGER NOT NULL, received_at INTEGER NOT NULL, age_ms INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (site, lane, number))`,
  "CREATE UNIQUE INDEX batches_range ON batches (site, lane, epoch, last_sequence)",
  `CREATE TABLE slices (
    position INTEGER PRIMARY KEY, count INTEGER NOT NULL, site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL,
    first_sequence INTEGER NOT NULL, batch INTEGER NOT NULL, body_offset INTEGER NOT NULL, body_bytes INTEGER NOT NULL,
    skip_lines INTEGER NOT NULL, types TEXT NOT NULL, skips TEXT, repeats INTEGER NOT NULL, received_at INTEGER NOT NULL,
    age_ms INTEGER NOT NULL)`,
  "CREATE INDEX slices_lane ON slices (lane, position)",
  "CREATE INDEX slices_site ON slices (site, position)",
  "CREATE INDEX slices_site_lane ON slices (site, lane, position)",
  "CREATE INDEX slices_repeats ON slices (position) WHERE repeats > 0",
  `CREATE TABLE tallies (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, messages INTEGER NOT NULL, repeats INTEGER NOT NULL,
    quarantined INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch)) WITHOUT ROWID`,
  "CREATE TABLE once_keys (hash BLOB PRIMARY KEY, position INTEGER NOT NULL, input BLOB NOT NULL) WITHOUT ROWID",
  `CREATE TABLE message_orders (
    mo_id TEXT NOT NULL, position INTEGER NOT NULL, slice INTEGER NOT NULL, PRIMARY KEY (mo_id, position)) WITHOUT ROWID`,
  `CREATE TABLE orders (
    mo_id TEXT PRIMARY KEY, order_name TEXT, plant TEXT, item TEXT, quantity TEXT, revision INTEGER NOT NULL,
    last_at TEXT NOT NULL, last_position INTEGER NOT NULL, messages INTEGER NOT NULL)`,
  "CREATE INDEX orders_recent ON orders (last_position, mo_id)",
  "CREATE INDEX orders_search ON orders (lower(mo_id))",
  "CREATE TABLE order_names (order_name TEXT NOT NULL, mo_id TEXT NOT NULL, last_position INTEGER NOT NULL, PRIMARY KEY (order_name, mo_id)) WITHOUT ROWID",
  "CREATE INDEX order_names_search ON order_names (lower(order_name))",
  `CREATE TABLE deliveries (
    message_id TEXT NOT NULL, position INTEGER NOT NULL, slice INTEGER NOT NULL, PRIMARY KEY (message_id, position)) WITHOUT ROWID`,
  `CREATE TABLE quarantine (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
    conflicts_with INTEGER, line TEXT NOT NULL, line_bytes INTEGER NOT NULL, line_sha256 TEXT NOT NULL, received_at INTEGER NOT NULL,
    PRIMARY KEY (site, lane, epoch, sequence))`,
  "CREATE INDEX quarantine_recent ON quarantine (received_at)",
  `CREATE TABLE downlink (
    site TEXT NOT NULL, sequence INTEGER NOT NULL, position INTEGER NOT NULL, slice INTEGER NOT NULL, routed_at INTEGER NOT NULL,
    acked_at INTEGER, key INTEGER NOT NULL, parked_at INTEGER, PRIMARY KEY (site, sequence)) WITHOUT ROWID`,
  "CREATE UNIQUE INDEX downlink_once ON downlink (position, site)",
  "CREATE INDEX downlink_parked ON downlink (site, key) WHERE parked_at IS NOT NULL",
  `CREATE TABLE exceptions (
    site TEXT NOT NULL, kind TEXT NOT NULL, lane TEXT NOT NULL, type TEXT NOT NULL, target TEXT NOT NULL, severity TEXT NOT NULL,
    reason TEXT NOT NULL, count INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, ended_at INTEGER,
    last_position INTEGER, first_sequence INTEGER, last_sequence INTEGER, PRIMARY KEY (site, kind, lane, type, target)) WITHOUT ROWID`,
  "CREATE INDEX exceptions_recent ON exceptions (last_at)",
  `CREATE TABLE revisions (
    site TEXT NOT NULL REFERENCES sites, revision INTEGER NOT NULL, content TEXT NOT NULL, digest TEXT NOT NULL, bundle TEXT NOT NULL,
    jws TEXT NOT NULL, files TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (site, revision))`,
  "CREATE TABLE signin_codes (hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE TABLE operator_sessions (hash TEXT PRIMARY KEY, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID",
];
