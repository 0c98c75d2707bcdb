import { closeSync, constants, fchmodSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describeError, PlantgateError } from "../../protocol/index.ts";

const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
/** SQLITE_BUSY */
const busy = 5;
/** Whoever waits longer is told for what. */
const silentMs = 2000;

/**
 * One updater at a time: the operating system's lock on a file, taken by SQLite, which falls with the process however it ends. The file is
 * root's alone: whoever may read it could hold the lock, and what is to be replaced runs on this machine.
 * @param waitMs so long for the one before
 * @param tell that it is waited for, where that takes longer than a moment
 * @returns the way to let it go
 * @throws PlantgateError DATA_FOLDER_LOCKED; DISK_FAILED where the file cannot be made or read
 */
export function lockUpgrades(file: string, waitMs = 0, tell: (line: string) => void = () => {}): () => void {
  let db: DatabaseSync | undefined;
  try {
    makeOwn(file);
    db = new DatabaseSync(file);
    if (!tryLock(db, Math.min(waitMs, silentMs))) {
      if (waitMs > silentMs) tell("another upgrade is under way here: it is waited for; see: plantgate upgrade --status");
      lock(db, Math.max(0, waitMs - silentMs));
    }
  } catch (cause) {
    db?.close();
    if (isBusy(cause))
      throw new PlantgateError("DATA_FOLDER_LOCKED", "another upgrade is under way here; see: plantgate upgrade --status", {
        cause,
      });
    throw new PlantgateError("DISK_FAILED", `${file} cannot be locked: ${describeError(cause)}`, { cause });
  }
  return () => db.close();
}

function tryLock(db: DatabaseSync, withinMs: number): boolean {
  try {
    lock(db, withinMs);
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
}

function lock(db: DatabaseSync, withinMs: number): void {
  db.exec(`PRAGMA busy_timeout = ${withinMs}; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;`);
}

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === busy;
}

function makeOwn(file: string): void {
  const handle = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(handle, 0o600);
  } finally {
    closeSync(handle);
  }
}
