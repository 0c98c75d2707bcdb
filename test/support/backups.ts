import { join } from "node:path";
import type { BackupOptions } from "../../central/backup/back-up.ts";
import { systemClock } from "../../protocol/index.ts";
import type { TestCentral } from "./central.ts";

/** Options of a backup of this central into a folder of the test's. */
export function backupOf(central: TestCentral, folder: string, more: Partial<BackupOptions> = {}): BackupOptions {
  return {
    dataDir: central.dataDir,
    databaseUrl: central.database?.url,
    out: join(folder, "central.tar.zst"),
    version: "0.1.0",
    clock: systemClock,
    asOwner: (run) => run(),
    ...more,
  };
}
