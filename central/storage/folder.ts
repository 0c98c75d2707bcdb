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
 * @throws PlantgateError DATA_FOLDER_LOCKED when another central works on it; DISK_FAILED when a key cannot be read
 */
export async function openFolder(dataDir: string): Promise<Folder> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const release = lock(join(dataDir, "lock"));
  try {
    const place = keep(join(dataDir, "incarnation"), () => randomUUID());
    const adminToken = keep(join(dataDir, "admin.token"), () => randomBytes(32).toString("base64url"));
    const signingKey = await SigningKey.open(dataDir);
    return { identity: { place, adminToken, signing: signingKey }, signingKey, ledgerFile: join(dataDir, "ledger.db"), release };
  } catch (error) {
    release();
    throw error;
  }
}

function lock(file: string): () => void {
  const database = new DatabaseSync(file);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new PlantgateError("DATA_FOLDER_LOCKED", `another central works on this data folder: ${file} is locked`, { cause });
  }
  let held = true;
  return () => {
    if (held) database.close();
    held = false;
  };
}

/** The file's text; made, flushed and named at once where there is none, so that a crash leaves no half of it. */
export function keep(file: string, make: () => string): string {
  if (!existsSync(file)) writeFlushed(file, `${make()}\n`);
  return readFileSync(file, "utf8").trim();
}
