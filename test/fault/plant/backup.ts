import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A backup of the ledger of a central that runs. */
export function backUp(dataDir: string, file: string): string {
  const db = new DatabaseSync(join(dataDir, "ledger.db"));
  try {
    db.prepare("VACUUM INTO ?").run(file);
  } finally {
    db.close();
  }
  return file;
}

/** Puts a backup in the place of the ledger of a central that is stopped; whoever does it by the manual gives it a new incarnation. */
export function restore(dataDir: string, backup: string, options: { newIncarnation: boolean }): void {
  for (const name of ["ledger.db", "ledger.db-wal", "ledger.db-shm"]) rmSync(join(dataDir, name), { force: true });
  if (options.newIncarnation) rmSync(join(dataDir, "incarnation"), { force: true });
  copyFileSync(backup, join(dataDir, "ledger.db"));
}
