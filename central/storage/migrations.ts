import { type Kysely, sql } from "kysely";
import type { Migration, MigrationProvider } from "kysely/migration";

/** Steps of the schema, in order; a step that was released is never changed. */
const steps: Record<string, Migration> = {
  "0001-ledger": { up: ledger },
};
export const migrations: MigrationProvider = { getMigrations: async () => steps };

/** Migrations see the tables as they were, so no schema type applies. */
type AnySchema = Record<string, Record<string, unknown>>;

async function ledger(db: Kysely<AnySchema>): Promise<void> {
  for (const statement of ledgerStatements) await sql.raw(statement).execute(db);
}

const ledgerStatements = [
  "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
  "INSERT INTO counters (name, value) VALUES ('ledger', 0), ('batch', 0)",
  `CREATE TABLE sites (
    name TEXT PRIMARY KEY, public_key TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER, labels TEXT NOT NULL,
    desired_revision INTEGER NOT NULL, reported_revision INTEGER NOT NULL, session TEXT, fenced_at INTEGER,
    downlink_epoch TEXT NOT NULL, downlink_last INTEGER NOT NULL, downlink_acked INTEGER NOT NULL,
    last_heard_at INTEGER, status TEXT, status_at INTEGER, clock_skew_ms INTEGER)`,
  `CREATE TABLE sessions (
    id TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites, boot_id TEXT NOT NULL, gateway_version TEXT NOT NULL, started_at INTEGER NOT NULL)`,
  `CREATE TABLE epochs (
    site TEXT NOT NULL REFERENCES sites, lane TEXT NOT NULL, epoch TEXT NOT NULL, first_sequence INTEGER NOT NULL,
    predecessor_epoch TEXT, predecessor_last INTEGER, watermark INTEGER NOT NULL, chain TEXT NOT NULL,
    started_at INTEGER NOT NULL, moved_at INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch))`,
  `CREATE TABLE batches (
    position INTEGER PRIMARY KEY, site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL,
    first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL, frames TEXT NOT NULL, body BLOB NOT NULL, received_at INTEGER NOT NULL)`,
  "CREATE UNIQUE INDEX batches_range ON batches (site, lane, epoch, last_sequence)",
  `CREATE TABLE work (
    batch INTEGER PRIMARY KEY REFERENCES batches, priority INTEGER NOT NULL, count INTEGER NOT NULL, done INTEGER NOT NULL,
    size INTEGER NOT NULL, attempts INTEGER NOT NULL)`,
  "CREATE INDEX work_order ON work (priority, batch)",
  `CREATE TABLE messages (
    position INTEGER PRIMARY KEY, site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    type TEXT NOT NULL, message_id TEXT NOT NULL, idempotency_key TEXT, input_hash TEXT, state TEXT NOT NULL, repeat_of INTEGER,
    received_at INTEGER NOT NULL, event TEXT NOT NULL)`,
  "CREATE UNIQUE INDEX messages_place ON messages (site, lane, epoch, sequence)",
  "CREATE UNIQUE INDEX messages_once ON messages (site, idempotency_key, type) WHERE idempotency_key IS NOT NULL AND state = 'recorded'",
  "CREATE TABLE message_orders (mo_id TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (mo_id, position)) WITHOUT ROWID",
  `CREATE TABLE orders (
    mo_id TEXT PRIMARY KEY, order_name TEXT, plant TEXT, item TEXT, quantity TEXT, revision INTEGER NOT NULL,
    last_at TEXT NOT NULL, last_position INTEGER NOT NULL, messages INTEGER NOT NULL)`,
  "CREATE INDEX orders_recent ON orders (last_position)",
  "CREATE TABLE order_names (order_name TEXT NOT NULL, mo_id TEXT NOT NULL, last_position INTEGER NOT NULL, PRIMARY KEY (order_name, mo_id)) WITHOUT ROWID",
  "CREATE TABLE deliveries (message_id TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (message_id, position)) WITHOUT ROWID",
  `CREATE TABLE quarantine (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
    conflicts_with INTEGER, line TEXT NOT NULL, received_at INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch, sequence))`,
  `CREATE TABLE downlink (
    site TEXT NOT NULL, sequence INTEGER NOT NULL, position INTEGER NOT NULL, routed_at INTEGER NOT NULL, acked_at INTEGER,
    PRIMARY KEY (site, sequence))`,
  "CREATE UNIQUE INDEX downlink_once ON downlink (position, site)",
  `CREATE TABLE exceptions (
    site TEXT NOT NULL, type TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, last_position INTEGER NOT NULL, PRIMARY KEY (site, type, kind, target))`,
  `CREATE TABLE revisions (
    site TEXT NOT NULL REFERENCES sites, revision INTEGER NOT NULL, content TEXT NOT NULL, digest TEXT NOT NULL, bundle TEXT NOT NULL,
    jws TEXT NOT NULL, files TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (site, revision))`,
  "CREATE TABLE signin_codes (hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE TABLE operator_sessions (hash TEXT PRIMARY KEY, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID",
];
