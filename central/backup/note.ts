import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../../protocol/index.ts";
import { isPostgres } from "../storage/dialect.ts";
import { writeFlushed } from "../storage/files.ts";
import { readMeta } from "../storage/incarnation.ts";
import type { Storage } from "../storage/storage.ts";

/** What the last good backup was: a file of the data folder, and on PostgreSQL, where replicas have folders of their own, a row. */
export const backupNote = z.object({
  id: z.string(),
  takenAt: z.iso.datetime(),
  file: z.string(),
  bytes: z.int().min(0),
  /** Whether the keys of its secrets were written beside it, in a file of their own. */
  keys: z.boolean(),
  sealed: z.boolean(),
});
export type BackupNote = z.infer<typeof backupNote>;

export const noteName = "last-backup";
export const noteFile = `${noteName}.json`;

export function writeNote(dataDir: string, note: BackupNote): void {
  writeFlushed(join(dataDir, noteFile), `${JSON.stringify(note)}\n`);
}

/** The newest that is noted; undefined where there is none that can be read. */
export async function readNote(storage: Storage, dataDir: string): Promise<BackupNote | undefined> {
  const notes = [readFolders(dataDir), isPostgres(storage) ? await readRow(storage) : undefined];
  return notes
    .flatMap((note) => note ?? [])
    .sort((a, b) => a.takenAt.localeCompare(b.takenAt))
    .at(-1);
}

/** The one that all replicas see, whatever lies in their folders. */
export async function readLedgersNote(storage: Storage, dataDir: string): Promise<BackupNote | undefined> {
  return isPostgres(storage) ? readRow(storage) : readFolders(dataDir);
}

function readFolders(dataDir: string): BackupNote | undefined {
  const file = join(dataDir, noteFile);
  return existsSync(file) ? parse(readFileSync(file, "utf8")) : undefined;
}

async function readRow(storage: Storage): Promise<BackupNote | undefined> {
  const text = await readMeta(storage, noteName);
  return text === undefined ? undefined : parse(text);
}

function parse(text: string): BackupNote | undefined {
  try {
    return backupNote.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
