/** Packages of gateways, and which version a site is to run. */
export const releases = [
  `CREATE TABLE release_packages (
    file TEXT PRIMARY KEY, version TEXT NOT NULL, platform TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
    sha256 TEXT NOT NULL, signature TEXT NOT NULL, upload TEXT NOT NULL, begun_at INTEGER NOT NULL, added_by TEXT NOT NULL,
    added_at INTEGER) WITHOUT ROWID`,
  "CREATE TABLE release_chunks (upload TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (upload, number))",
  "ALTER TABLE sites ADD COLUMN desired_version TEXT NOT NULL DEFAULT ''",
  "ALTER TABLE sites ADD COLUMN desired_package TEXT NOT NULL DEFAULT ''",
  "ALTER TABLE sites ADD COLUMN desired_attempt TEXT NOT NULL DEFAULT ''",
  "ALTER TABLE sites ADD COLUMN desired_older INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE changes ADD COLUMN release TEXT NOT NULL DEFAULT ''",
  "ALTER TABLE rollout_sites ADD COLUMN from_version TEXT",
  "ALTER TABLE rollout_sites ADD COLUMN from_package TEXT",
  "ALTER TABLE rollout_sites ADD COLUMN to_version TEXT",
  "ALTER TABLE rollout_sites ADD COLUMN to_package TEXT",
];

/** What lies there is compressed already, and read a part at a time. */
export const releasesOnPostgres = ["ALTER TABLE release_chunks ALTER COLUMN body SET STORAGE EXTERNAL"];
