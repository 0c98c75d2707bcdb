import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import { writeFlushed } from "./files.ts";
import { type Signing, SigningKey } from "./signing-key.ts";

/** What central is: made at its first start, kept in files of its data folder that only its user may read. */
export interface Identity {
  /** Names the place of the ledger file. Whoever restores a backup of it deletes this one, so that gateways notice. */
  readonly place: string;
  readonly adminToken: string;
  readonly signing: Signing;
}

export interface Folder {
  readonly identity: Identity;
  /** The same as `identity.signing`, with what it takes to change it. */
  readonly signingKey: SigningKey;
  readonly ledgerFile: string;
  /** Gives the folder free for another process. */
  release(): void;
}

/**
 * Makes the folder (0700) where there is none, locks it and reads or makes the identity.
 * The lock is SQLite's exclusive lock on a file of its own: it ends with the process, however that ends.
 * @throws PlantgateError DATA_FOLDER_LOCKED when another central works on it; DISK_FAILED when a key cannot be read; CONFIG_INVALID when a restore into
 * it was cut off
 */
export async function openFolder(dataDir: string): Promise<Folder> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const release = lockFolder(dataDir);
  try {
    if (existsSync(join(dataDir, restoringFile)))
      throw new PlantgateError(
        "CONFIG_INVALID",
        `a restore into ${dataDir} did not come to its end: run "plantgate restore" again, with --replace`,
      );
    const place = keep(join(dataDir, "incarnation"), () => randomUUID());
    const adminToken = keep(join(dataDir, "admin.token"), () => randomBytes(32).toString("base64url"));
    const signingKey = await SigningKey.open(dataDir);
    return { identity: { place, adminToken, signing: signingKey }, signingKey, ledgerFile: join(dataDir, "ledger.db"), release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Stands in a data folder while a backup is put into it: what lies there meanwhile is not whole. */
export const restoringFile = "restoring";

/**
 * Keeps every other process from working on a data folder. @returns what gives it free
 * @throws PlantgateError DATA_FOLDER_LOCKED; DISK_FAILED
 */
export function lockFolder(dataDir: string): () => void {
  const file = join(dataDir, "lock");
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (cause) {
    database?.close();
    if (!isLocked(cause)) throw diskRefuses(`the data folder ${dataDir} cannot be locked`, cause);
    throw new PlantgateError("DATA_FOLDER_LOCKED", `another central works on this data folder: ${file} is locked`, { cause });
  }
  let held = true;
  return () => {
    if (held) database.close();
    held = false;
  };
}

/** Held by backups together, or by a restore alone: neither begins beside the other. */
export const backupLockFile = "backup-lock";

/**
 * @param as several backups may be taken at once; a restore is alone
 * @returns what gives it free
 * @throws PlantgateError DATA_FOLDER_LOCKED; DISK_FAILED
 */
export function lockBackups(dataDir: string, as: "backup" | "restore"): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(dataDir, backupLockFile));
    // a transaction's first read takes SQLite's shared lock
    if (as === "restore") database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    else {
      database.exec("BEGIN");
      database.prepare("SELECT count(*) FROM sqlite_schema").get();
    }
  } catch (cause) {
    database?.close();
    if (!isLocked(cause)) throw diskRefuses(`the data folder ${dataDir} cannot be locked`, cause);
    const why = as === "restore" ? "a backup of it is being taken" : "a restore works on it";
    throw new PlantgateError("DATA_FOLDER_LOCKED", `${dataDir} is in use: ${why}; wait for its end`, { cause });
  }
  return () => database.close();
}

/** Where SQLite cannot work on a disk, whatever it says about it. */
export function diskRefuses(what: string, cause: unknown): PlantgateError {
  const advice = "is its disk full, or only to be read? Make room; or copy the folder to another disk, and work on it there";
  return new PlantgateError("DISK_FAILED", `${what}: ${advice}`, { cause });
}

/** SQLITE_BUSY, SQLITE_LOCKED and what extends them. */
export function isLocked(error: unknown): boolean {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
  return code === 5 || code === 6;
}

/** The file's text; made, flushed and named at once where there is none, so that a crash leaves no half of it. */
export function keep(file: string, make: () => string): string {
  if (!existsSync(file)) writeFlushed(file, `${make()}\n`);
  return readFileSync(file, "utf8").trim();
}
