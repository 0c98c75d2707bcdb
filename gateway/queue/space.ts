import type { DatabaseSync } from "node:sqlite";

/** Free pages that are left for what comes next; more are given back to the file system. */
const keptFreeBytes = 4 * 1024 * 1024;
/** Pages given back in one step, so that a commit waits a few milliseconds for it at most. */
const pagesAtOnce = 512;
/** A file made before space could be given back in steps is rewritten when so little is left in it. */
const rewrittenBytes = 32 * 1024 * 1024;

/** What the gateway's own bookkeeping needs while the disk has no room: pages that are free inside the file, and a log that is long enough. */
const leastFreeBytes = 2 * 1024 * 1024;

/**
 * Sees to it that the file has free pages and its log a length to write over, so that acknowledgements, outcomes and holes can be noted on
 * a disk that others have filled. @throws what SQLite throws when there is no room for that now
 */
export function keepFreePages(db: DatabaseSync): void {
  if (pragma(db, "freelist_count") * pragma(db, "page_size") >= leastFreeBytes) return;
  // one that a crash left behind goes first
  db.exec(
    `BEGIN IMMEDIATE; DROP TABLE IF EXISTS filler; CREATE TABLE filler (zeros BLOB); INSERT INTO filler VALUES (zeroblob(${keptFreeBytes})); COMMIT`,
  );
  db.exec("DROP TABLE filler");
}

function pragma(db: DatabaseSync, name: string): number {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0] as number;
}

/**
 * Gives space of deleted frames back, a bounded step. On a full disk each step is moved into the file at once, so that the log of the next one
 * is written over it and needs no room. @returns whether there is more to give back
 */
export function giveSpaceBack(db: DatabaseSync, diskFull: boolean): boolean {
  const pageBytes = pragma(db, "page_size");
  const free = pragma(db, "freelist_count");
  if (free * pageBytes <= 2 * keptFreeBytes) return false;
  if (pragma(db, "auto_vacuum") === 0) {
    const used = (pragma(db, "page_count") - free) * pageBytes;
    if (used <= rewrittenBytes && !diskFull) db.exec("PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    return false;
  }
  db.exec(`PRAGMA incremental_vacuum(${Math.min(pagesAtOnce, free - Math.floor(keptFreeBytes / pageBytes))})`);
  const more = pragma(db, "freelist_count") * pageBytes > 2 * keptFreeBytes;
  // moves what is left of the log into the file, which is cut then; the log keeps a length to write over
  if (!more || diskFull) db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  return more;
}
