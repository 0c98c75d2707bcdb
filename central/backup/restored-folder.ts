import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import { flushFolder, writeFlushed } from "../storage/files.ts";
import { backupLockFile, restoringFile } from "../storage/folder.ts";
import { type SecretKeys, secretKeysFile } from "./keys-file.ts";
import { noteFile } from "./note.ts";
import { isNewerKey } from "./signing-files.ts";

/** What of a folder that is replaced goes on: the machine's own key of emergency, and how far its ledger was. */
const carriedOver = ["admin.token", "ledger.seen", noteFile];

/** All but the locks, what earlier restores moved aside, what one that was cut off left, and what a disk of its own has at its root. */
export function entriesOf(dataDir: string): string[] {
  const own = new RegExp(`^(?:(?:lock|${backupLockFile})(?:-journal)?|${restoringFile}|before-\\d{8}T\\d{9}Z|lost\\+found)$`);
  const names = readdirSync(dataDir);
  return names.filter((name) => !own.test(name) && !name.startsWith(".restoring-"));
}

/**
 * What makes room for a restored central: it is made of files alone. A folder among them is somebody else's, such as backups, and may be a disk of its own, or
 * nobody's to move but root's.
 */
export function filesOf(dataDir: string): string[] {
  return entriesOf(dataDir).filter((name) => !lstatSync(join(dataDir, name)).isDirectory());
}

/** Of the restore that was cut off, and of those before it that were. */
export function stampsOf(dataDir: string): string[] {
  return readFileSync(join(dataDir, restoringFile), "utf8")
    .split("\n")
    .filter((line) => /^\d{8}T\d{9}Z$/.test(line));
}

/** Where a restore that began then moves what is there. */
export function asideOf(dataDir: string, stamp: string): string {
  return join(dataDir, `before-${stamp}`);
}

/** Into the stage, so that it is there at once when the folder is. @returns the names */
export async function carryOver(folders: readonly string[], stage: string): Promise<string[]> {
  const kept: string[] = [];
  const find = (name: string): string | undefined => folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  const take = (name: string): void => {
    const source = find(name);
    if (source === undefined) return;
    writeFlushed(join(stage, name), readFileSync(source, "utf8"));
    kept.push(name);
  };
  for (const name of carriedOver) take(name);
  take("secrets-key.json");
  // gateways have pinned it since, and do not go back to the one before
  const signing = find("signing-key.json");
  if (signing !== undefined && (await isNewerKey(signing, join(stage, "signing-key.json")))) {
    rmSync(join(stage, "signing-key.next.json"), { force: true });
    take("signing-key.json");
    take("signing-key.next.json");
  }
  return kept;
}

/** @throws PlantgateError KEY_UNKNOWN for a file that lacks one */
export function placeKeys(stage: string, keysFile: string, keys: SecretKeys | undefined, missing: readonly string[]): void {
  if (missing.length > 0)
    throw new PlantgateError(
      "KEY_UNKNOWN",
      `${keysFile} does not open the secrets of this backup: it lacks ${missing.length === 1 ? "the key" : "the keys"} ${missing.join(", ")}; it is of another central, or older than a change of its keys`,
    );
  writeFlushed(secretKeysFile(stage), `${JSON.stringify({ keys })}\n`);
}

/** The folder's lock stays where it is: it is held. A crash in between leaves the mark of a restore, with which central does not start. */
export function place(dataDir: string, stage: string, before: readonly string[], aside: string): void {
  if (before.length > 0) {
    mkdirSync(aside, { mode: 0o700 });
    for (const name of before) renameSync(join(dataDir, name), join(aside, name));
  }
  for (const name of readdirSync(stage)) renameSync(join(stage, name), join(dataDir, name));
  rmSync(stage, { recursive: true });
  flushFolder(dataDir);
  rmSync(join(dataDir, restoringFile));
  flushFolder(dataDir);
}
