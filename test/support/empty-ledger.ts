import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { openStorage } from "../../central/storage/storage.ts";
import { onceARun } from "./once-a-run.ts";
import { createDatabase, once, postgresServer, type TestDatabase } from "./postgres.ts";

// What central makes of nothing, made once a run and copied: its steps take more time than all else that a start does. That they are gone
// through is seen by whoever starts central on an empty folder or database: test/e2e, test/central/storage.

let file: Promise<string> | undefined;
let template: Promise<string> | undefined;

/** Puts a ledger there that holds nothing yet. */
export async function putEmptyLedger(place: string): Promise<void> {
  file ??= onceARun("empty-ledger", async (folder) => {
    const made = join(folder, "empty-ledger.db");
    await (await openStorage({ kind: "sqlite", file: made })).destroy();
    return made;
  });
  copyFileSync(await file, place);
}

/** The same in a database of its own. */
export async function createEmptyLedger(): Promise<TestDatabase> {
  template ??= onceARun("empty-database", async () => {
    const base = (await postgresServer()) as string;
    await once(`${base}/postgres`, "CREATE DATABASE empty_ledger");
    await (await openStorage({ kind: "postgres", url: `${base}/empty_ledger` })).destroy();
    return "empty_ledger";
  });
  return createDatabase(await template);
}
