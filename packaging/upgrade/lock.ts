import { closeSync, constants, fchmodSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describeError, PlantgateError } from "../../protocol/index.ts";

const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
/** SQLITE_BUSY */
const busy = 5;

/**
 * One updater at a time: the operating system's lock on a file, taken by SQLite, which falls with the process however it ends. The file is
 * root's alone: whoever may read it could hold the lock, and what is to be replaced runs on this machine.
 * @param waitMs so long for the one before
 * @returns the way to let it go
 * @throws PlantgateError DATA_FOLDER_LOCKED; DISK_FAILED where the file cannot be made or read
 */
export function lockUpgrades(file: string, waitMs = 0): () => void {
  let db: DatabaseSync | undefined;
  try {
    makeOwn(file);
    db = new DatabaseSync(file);
    db.exec(`PRAGMA busy_timeout = ${waitMs}; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;`);
  } catch (cause) {
    db?.close();
    if ((cause as { errcode?: number }).errcode === busy)
      throw new PlantgateError("DATA_FOLDER_LOCKED", "another upgrade is under way here; see: plantgate upgrade --status", {
        cause,
      });
    throw new PlantgateError("DISK_FAILED", `${file} cannot be locked: ${describeError(cause)}`, { cause });
  }
  return () => db.close();
}

function makeOwn(file: string): void {
  const handle = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(handle, 0o600);
  } finally {
    closeSync(handle);
  }
}
