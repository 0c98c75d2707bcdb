import type { DatabaseSync } from "node:sqlite";

/** Free pages that are left for what comes next; more are given back to the file system. */
const keptFreeBytes = 4 * 1024 * 1024;
/** Pages given back in one step, so that a commit waits a few milliseconds for it at most. */
const pagesAtOnce = 512;
/** A file made before space could be given back in steps is rewritten when so little is left in it. */
const rewrittenBytes = 32 * 1024 * 1024;

/** Gives space of deleted frames back, a bounded step. @returns whether there is more to give back */
export function giveSpaceBack(db: DatabaseSync): boolean {
  const pragma = (name: string): number => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0] as number;
  const pageBytes = pragma("page_size");
  const free = pragma("freelist_count");
  if (free * pageBytes <= 2 * keptFreeBytes) return false;
  if (pragma("auto_vacuum") === 0) {
    const used = (pragma("page_count") - free) * pageBytes;
    if (used <= rewrittenBytes) db.exec("PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    return false;
  }
  db.exec(`PRAGMA incremental_vacuum(${Math.min(pagesAtOnce, free - Math.floor(keptFreeBytes / pageBytes))})`);
  if (pragma("freelist_count") * pageBytes > 2 * keptFreeBytes) return true;
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return false;
}
