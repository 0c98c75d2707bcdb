import { DatabaseSync } from "node:sqlite";
import { Contradiction } from "./damage.ts";
import { schema } from "./schema.ts";

/**
 * Tables whose rows no chain vouches for: an index that lost an entry, or a value of another kind, would go unnoticed, and a delivery never
 * be made. They are small beside the frames.
 */
const small = [
  "meta",
  "boots",
  "lanes",
  "repeats",
  "received",
  "markers",
  "cursors",
  "deliveries",
  "dead_letters",
  "acks",
  "totals",
  "sealing_keys",
] as const;

/** What waits for systems that are away for days may be as large as the frames: looked through only in doubt, so that a start does not wait for it. */
const grown: ReadonlySet<string> = new Set(["deliveries", "dead_letters"]);
const grownBytes = 64 * 1024 * 1024;

/**
 * @param inDoubt something failed on the file: all are looked through, however long it takes
 * @throws Contradiction where one of the small tables, or an index of it, is damaged or gone; what SQLite throws
 */
export function checkSmallTables(db: DatabaseSync, inDoubt: boolean): void {
  check(db, "held");
  const held = db.prepare("SELECT coalesce(sum(bytes), 0) AS bytes FROM held").get()?.bytes as number;
  for (const table of small) if (inDoubt || held <= grownBytes || !grown.has(table)) check(db, table);
}

/**
 * Looks through all of a file that something failed on: the texts of its tables and indexes, and every frame; not at each start.
 * @param isNewer of a newer format, which this program may go on with: its tables have columns that it does not know
 * @throws Contradiction where they are damaged; what SQLite throws
 */
export function checkThoroughly(db: DatabaseSync, isNewer: boolean): void {
  const made = new DatabaseSync(":memory:");
  made.exec(schema);
  const texts = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL";
  const found = new Map(
    db
      .prepare(texts)
      .all()
      .map(({ name, sql }) => [name, sql]),
  );
  // one of an older format may have others: then it is made anew, once
  for (const { name, sql } of made.prepare(texts).all())
    if (isNewer ? !found.has(name as string) : found.get(name as string) !== sql)
      throw new Contradiction(`${name} is not what it was made as`);
  made.close();
  check(db, "frames");
}

/** Whether a table's own pages are in order, whatever became of its indexes. */
export function isWholeTree(db: DatabaseSync, table: string): boolean {
  return Object.values(db.prepare(`PRAGMA quick_check(${table})`).get() ?? {})[0] === "ok";
}

function check(db: DatabaseSync, table: string): void {
  if (!db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(table))
    throw new Contradiction(`the file has no table ${table}`);
  const found = Object.values(db.prepare(`PRAGMA integrity_check(${table})`).get() ?? {})[0];
  if (found !== "ok") throw new Contradiction(`${table}: ${found}`);
}
