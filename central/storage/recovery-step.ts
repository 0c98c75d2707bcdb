/** Tables of what comes again after a restore (`tables/recovery.ts`). */
export const recovery = [
  `CREATE TABLE recoveries (
    number INTEGER PRIMARY KEY, incarnation TEXT NOT NULL, "before" TEXT NOT NULL, began_at INTEGER NOT NULL, backup_at TEXT,
    audit_entries INTEGER NOT NULL, audit_at TEXT)`,
  "CREATE TABLE recovery_sites (site TEXT PRIMARY KEY REFERENCES sites, heard_at INTEGER NOT NULL) WITHOUT ROWID",
  `CREATE TABLE recovery_lanes (
    site TEXT NOT NULL REFERENCES sites, lane TEXT NOT NULL, epoch TEXT NOT NULL, watermark INTEGER NOT NULL, acknowledged INTEGER,
    not_coming INTEGER NOT NULL, PRIMARY KEY (site, lane, epoch)) WITHOUT ROWID`,
];

/** Gateways name epochs that they left. */
export const namedEpochs = ["ALTER TABLE recovery_lanes ADD COLUMN named INTEGER NOT NULL DEFAULT 0"];
