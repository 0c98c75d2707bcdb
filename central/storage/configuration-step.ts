import { type Kysely, sql } from "kysely";
import { fingerprintOf } from "../site/public-key.ts";

/** Tables of people, documents, changes, rollouts, secrets and keys (`tables/`). "user" is a word of PostgreSQL's own, so it is quoted. */
export const configuration = [
  "INSERT INTO counters (name, value) VALUES ('audit', 0), ('change', 0), ('rollout', 0), ('secrets', 0), ('site-file', 0)",
  "ALTER TABLE sites ADD COLUMN environment TEXT NOT NULL DEFAULT ''",
  "ALTER TABLE revisions ADD COLUMN change INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE revisions ADD COLUMN origins TEXT",
  "ALTER TABLE revisions ADD COLUMN labels TEXT",
  `ALTER TABLE signin_codes ADD COLUMN "user" TEXT NOT NULL DEFAULT ''`,
  "ALTER TABLE signin_codes ADD COLUMN kind TEXT NOT NULL DEFAULT 'sign-in'",
  `ALTER TABLE operator_sessions ADD COLUMN "user" TEXT NOT NULL DEFAULT ''`,
  "ALTER TABLE operator_sessions ADD COLUMN sets_password INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE operator_sessions ADD COLUMN csrf TEXT NOT NULL DEFAULT ''",
  `CREATE TABLE users (
    name TEXT PRIMARY KEY, password TEXT, roles TEXT NOT NULL, environments TEXT NOT NULL, created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, disabled_at INTEGER, failures INTEGER NOT NULL, locked_until INTEGER) WITHOUT ROWID`,
  `CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, "user" TEXT NOT NULL REFERENCES users, purpose TEXT NOT NULL, roles TEXT NOT NULL,
    environments TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL, expires_at INTEGER NOT NULL,
    revoked_at INTEGER, last_used_at INTEGER) WITHOUT ROWID`,
  "CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, hash TEXT NOT NULL)",
  `CREATE TABLE document_revisions (
    kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL,
    attachments TEXT NOT NULL, owner TEXT NOT NULL, purpose TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, change INTEGER NOT NULL, PRIMARY KEY (kind, name, revision))`,
  `CREATE TABLE changes (
    number INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT NOT NULL, environment TEXT NOT NULL, state TEXT NOT NULL,
    author TEXT NOT NULL, strategy TEXT NOT NULL, expedited INTEGER NOT NULL, promoted_from INTEGER, digest TEXT NOT NULL,
    version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, reason TEXT, review_due_since INTEGER)`,
  `CREATE TABLE change_documents (
    change INTEGER NOT NULL REFERENCES changes, kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, base INTEGER NOT NULL,
    PRIMARY KEY (change, kind, name)) WITHOUT ROWID`,
  `CREATE TABLE change_events (
    change INTEGER NOT NULL REFERENCES changes, number INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (change, number)) WITHOUT ROWID`,
  `CREATE TABLE environment_documents (
    environment TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, change INTEGER NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (environment, kind, name)) WITHOUT ROWID`,
  `CREATE TABLE rollouts (
    number INTEGER PRIMARY KEY, change INTEGER NOT NULL REFERENCES changes, environment TEXT NOT NULL, state TEXT NOT NULL,
    plan TEXT NOT NULL, wave INTEGER NOT NULL, held_ms INTEGER NOT NULL, reason TEXT, ending TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, ended_at INTEGER, driver TEXT NOT NULL, driver_until INTEGER NOT NULL)`,
  `CREATE TABLE rollout_sites (
    rollout INTEGER NOT NULL REFERENCES rollouts, site TEXT NOT NULL, wave INTEGER NOT NULL, from_revision INTEGER NOT NULL,
    to_revision INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, in_state_ms INTEGER NOT NULL, away_ms INTEGER NOT NULL,
    unwell_ms INTEGER NOT NULL, baseline TEXT, updated_at INTEGER NOT NULL, PRIMARY KEY (rollout, site)) WITHOUT ROWID`,
  `CREATE TABLE rollout_events (
    rollout INTEGER NOT NULL REFERENCES rollouts, number INTEGER NOT NULL, at INTEGER NOT NULL, site TEXT NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (rollout, number)) WITHOUT ROWID`,
  `CREATE TABLE secret_versions (
    name TEXT NOT NULL, site TEXT NOT NULL, version INTEGER NOT NULL, sealed TEXT NOT NULL, created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, valid_until INTEGER, expires_at INTEGER, PRIMARY KEY (name, site, version)) WITHOUT ROWID`,
  `CREATE TABLE gateway_keys (
    site TEXT NOT NULL REFERENCES sites, fingerprint TEXT NOT NULL, public_key TEXT NOT NULL, seal_key TEXT, state TEXT NOT NULL,
    origin TEXT NOT NULL, created_at INTEGER NOT NULL, confirmed_at INTEGER, confirmed_by TEXT, retires_at INTEGER, rotate_asked_at INTEGER,
    PRIMARY KEY (site, fingerprint)) WITHOUT ROWID`,
  `CREATE TABLE enrollment_tokens (
    hash TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL, used_at INTEGER, used_by TEXT) WITHOUT ROWID`,
  `CREATE TABLE signing_keys (
    number INTEGER PRIMARY KEY, kid TEXT NOT NULL UNIQUE, public_key TEXT NOT NULL, statement TEXT NOT NULL, created_at INTEGER NOT NULL)`,
  `CREATE TABLE dry_runs (
    id TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites, change INTEGER, jws TEXT NOT NULL, messages INTEGER NOT NULL,
    state TEXT NOT NULL, asked_at INTEGER NOT NULL, asked_by TEXT NOT NULL, ended_at INTEGER, result TEXT) WITHOUT ROWID`,
  "CREATE INDEX dry_runs_by_site ON dry_runs (site, asked_at)",
  `CREATE TABLE shadow_reports (
    site TEXT NOT NULL, flow TEXT NOT NULL, at INTEGER NOT NULL, report TEXT NOT NULL, PRIMARY KEY (site, flow, at)) WITHOUT ROWID`,
];

/** The audit log is only ever appended to, whoever asks for something else. */
export const appendOnly = {
  sqlite: [
    "CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END",
    "CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END",
    // INSERT OR REPLACE deletes without asking the trigger above
    `CREATE TRIGGER audit_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
      BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END`,
  ],
  postgres: [
    `CREATE FUNCTION audit_only_appended() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN RAISE EXCEPTION ''the audit log is only appended to''; END'`,
    `CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_appended()`,
    `CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_appended()`,
  ],
};

/** The one key that each site was pinned to is its active one; the column that held it is gone. */
export async function keysOfSites(db: Kysely<Record<string, Record<string, unknown>>>): Promise<void> {
  const { rows } = await sql
    .raw<{ name: string; public_key: string; created_at: number; revoked_at: number | null }>(
      "SELECT name, public_key, created_at, revoked_at FROM sites",
    )
    .execute(db);
  for (const site of rows) {
    const key = {
      site: site.name,
      fingerprint: fingerprintOf(site.public_key),
      public_key: site.public_key,
      state: site.revoked_at === null ? "active" : "revoked",
      origin: "added",
      created_at: site.created_at,
      confirmed_at: site.created_at,
    };
    await db.insertInto("gateway_keys").values(key).execute();
  }
  await sql.raw("ALTER TABLE sites DROP COLUMN public_key").execute(db);
}
