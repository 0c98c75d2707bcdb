import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import { requireWhole } from "../move/marks.ts";

/**
 * Holds the data folder for one process (rule 5): an operating system lock on a file, taken by SQLite, which falls with the process
 * however it ends, so no stale lock survives a crash.
 * @param as whoever moves a gateway takes a folder too that was moved out, or not moved in whole
 * @returns the way to let it go
 * @throws PlantgateError DATA_FOLDER_LOCKED; FOLDER_MOVED; DISK_FAILED where the disk has no room for the lock
 */
export function lockFolder(dataDir: string, as: "gateway" | "mover" = "gateway"): () => void {
  const db = new DatabaseSync(join(dataDir, "lock.sqlite"));
  try {
    db.exec("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;");
  } catch (cause) {
    db.close();
    if (!isLocked(cause)) throw new PlantgateError("DISK_FAILED", `the data folder ${dataDir} cannot be locked`, { cause });
    throw new PlantgateError(
      "DATA_FOLDER_LOCKED",
      `another gateway runs on the data folder ${dataDir}; stop it first, or give this one a folder of its own`,
    );
  }
  try {
    if (as === "gateway") requireWhole(dataDir);
  } catch (error) {
    db.close();
    throw error;
  }
  return () => db.close();
}

/** SQLITE_BUSY, SQLITE_LOCKED and what extends them. */
function isLocked(error: unknown): boolean {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
  return code === 5 || code === 6;
}
