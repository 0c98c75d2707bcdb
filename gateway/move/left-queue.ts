import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { movedAway } from "../queue/format.ts";

const names = "name IN ('format', 'readableBy')";

/**
 * The queue that a move left behind is refused from now on by programs too that know nothing of the mark beside it: an older version that is put back, a
 * second installation. Flushed on return. One that cannot be written, as it is damaged or the disk is full, stays as it is: the mark stands alone then.
 */
export function shutQueue(path: string): void {
  if (!existsSync(path)) return;
  try {
    using db = new DatabaseSync(path, { timeout: 5000 });
    db.exec(
      `PRAGMA synchronous = FULL; UPDATE meta SET value = CAST(value + ${movedAway} AS TEXT) WHERE ${names} AND value + 0 < ${movedAway}`,
    );
  } catch {
    // as said
  }
}

/** Programs open it again as before. Flushed on return. @throws what SQLite throws where it was shut and cannot be opened again */
export function openQueueAgain(path: string): void {
  if (!isShut(path)) return;
  using db = new DatabaseSync(path, { timeout: 5000 });
  db.exec(
    `PRAGMA synchronous = FULL; UPDATE meta SET value = CAST(value - ${movedAway} AS TEXT) WHERE ${names} AND value + 0 >= ${movedAway}`,
  );
}

/** Whether a move left it, whatever became of the mark beside it. */
export function isShut(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    using db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    return db.prepare(`SELECT 1 FROM meta WHERE name = 'format' AND value + 0 >= ${movedAway}`).get() !== undefined;
  } catch {
    return false;
  }
}
