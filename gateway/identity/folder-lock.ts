import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";

/**
 * Holds the data folder for one process (rule 5): an operating system lock on a file, taken by SQLite, which falls with the process
 * however it ends, so no stale lock survives a crash.
 * @returns the way to let it go
 * @throws PlantgateError DATA_FOLDER_LOCKED
 */
export function lockFolder(dataDir: string): () => void {
  const db = new DatabaseSync(join(dataDir, "lock.sqlite"));
  try {
    db.exec("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;");
  } catch (cause) {
    db.close();
    throw new PlantgateError(
      "DATA_FOLDER_LOCKED",
      `another gateway runs on the data folder ${dataDir}; stop it first, or give this one a folder of its own`,
      { cause },
    );
  }
  return () => db.close();
}
