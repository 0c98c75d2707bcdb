import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StorageTarget } from "../../central/storage/storage.ts";
import { createEmptyLedger, putEmptyLedger } from "./empty-ledger.ts";
import { createDatabase, postgresServer } from "./postgres.ts";

/** What central's tests run on: `describe.each(await storages())("on %s", (storage) => …)`. */
export type StorageKind = "sqlite" | "postgres";

export async function storages(): Promise<StorageKind[]> {
  return (await postgresServer()) === undefined ? ["sqlite"] : ["sqlite", "postgres"];
}

export interface TestStorage extends AsyncDisposable {
  readonly kind: StorageKind;
  readonly target: StorageTarget;
  /** Of the SQLite file; a folder that nothing else lies in. */
  readonly folder: string;
}

/**
 * A storage of its own that holds nothing but its schema, gone with the test.
 * @param isNew where it has not even that
 */
export async function openTestStorage(kind: StorageKind, { isNew = false } = {}): Promise<TestStorage> {
  const folder = mkdtempSync(join(tmpdir(), "plantgate-storage-"));
  const database = kind === "postgres" ? await (isNew ? createDatabase() : createEmptyLedger()) : undefined;
  if (database === undefined && !isNew) await putEmptyLedger(join(folder, "ledger.db"));
  return {
    kind,
    folder,
    target: database ? { kind: "postgres", url: database.url } : { kind: "sqlite", file: join(folder, "ledger.db") },
    async [Symbol.asyncDispose]() {
      await database?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
