import { constants, createCipheriv, createDecipheriv, privateDecrypt, publicEncrypt, randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { writeFlushed } from "../write-flushed.ts";

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** How long a key that could not be written waits: the next frame would try again at once. */
const retryMs = 60_000;

/** `keys.json`. Read by hand: the worker starts without the schemas' library. */
interface StoredKeys {
  readonly version: 1;
  readonly keys: readonly StoredKey[];
}
interface StoredKey {
  readonly id: string;
  readonly createdAt: number;
  /** By the folder's own key; base64. */
  readonly wrapped: string;
  /** For the recovery key, where one was there when the key was made; base64. */
  readonly recovery?: string;
}

export interface DataKey {
  readonly id: string;
  readonly createdAt: number;
  readonly secret: Buffer;
  readonly recovery?: string;
}

/**
 * Data keys of the queue, newest last, each wrapped (AES-256-GCM) by the folder's own key-encryption key. Both lie in `keystore/` of the
 * data folder, readable by its owner alone: whoever backs up or moves the folder without `keystore/` takes sealed messages that nobody
 * can read. Where `keystore/recovery.pem` holds an RSA public key, each data key is encrypted for it as well (RSA-OAEP, SHA-256), so that
 * its private half, kept elsewhere, opens what the folder's own key does not ({@link recoverKeys}).
 */
export class Keystore {
  readonly #folder: string;
  readonly #now: () => number;
  #keys: DataKey[];
  /** There are keys that nobody can open now: their file is neither read nor written over. */
  #locked = false;
  #failedAt = Number.NEGATIVE_INFINITY;
  /** Told when a new key could not be written, and the newest one goes on. */
  onDelayed?: (reason: string) => void;

  /** Only looks: whoever reads a folder leaves it as it is. */
  constructor(dataDir: string, now: () => number) {
    this.#folder = join(dataDir, "keystore");
    this.#now = now;
    this.#keys = this.#read();
  }

  find(id: string): DataKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /**
   * For the writer: where the folder's own key is gone, the plant goes on, and what was sealed stays locked until the recovery key opens the keys
   * that are set aside here. @returns where they are put; undefined: none were locked
   */
  setLockedAside(): string | undefined {
    if (!this.#locked) return undefined;
    const aside = join(this.#folder, `keys.locked-${this.#now()}.json`);
    renameSync(join(this.#folder, "keys.json"), aside);
    this.#locked = false;
    return aside;
  }

  /**
   * The key that new frames are sealed with; made at the first call, and anew when it is older than `rotateEveryMs`. Flushed on return. One
   * that is due and cannot be written waits, and the newest goes on: a full disk refuses messages, it does not end the process (P6).
   */
  current(rotateEveryMs: number): DataKey {
    const newest = this.#keys.at(-1);
    const now = this.#now();
    const ageMs = newest ? now - newest.createdAt : Number.POSITIVE_INFINITY;
    // one made by a clock that was far ahead would never grow old
    if (newest && ageMs < rotateEveryMs && ageMs > -rotateEveryMs) return newest;
    if (newest && Math.abs(now - this.#failedAt) < retryMs) return newest;
    try {
      return this.#make();
    } catch (error) {
      if (!newest) throw error;
      this.#failedAt = now;
      this.onDelayed?.(describeError(error));
      return newest;
    }
  }

  #make(): DataKey {
    const secret = randomBytes(keyBytes);
    const recoveryFile = join(this.#folder, "recovery.pem");
    const recovery = existsSync(recoveryFile) ? encryptFor(readFileSync(recoveryFile, "utf8"), secret) : undefined;
    const made = { id: randomUUID(), createdAt: this.#now(), secret, ...(recovery === undefined ? {} : { recovery }) };
    const keys = [...this.#keys, made];
    this.setLockedAside();
    writeStored(this.#folder, keys);
    this.#keys = keys;
    return made;
  }

  #read(): DataKey[] {
    const file = join(this.#folder, "keys.json");
    if (!existsSync(file)) return [];
    this.#locked = !existsSync(join(this.#folder, "wrapping.key"));
    if (this.#locked) return [];
    try {
      const wrapping = readFileSync(join(this.#folder, "wrapping.key"));
      return readStored(file).map(({ wrapped, ...key }) => ({
        ...key,
        secret: unwrap(wrapping, key.id, Buffer.from(wrapped, "base64")),
      }));
    } catch (cause) {
      const advice = 'restore it, open it with "plantgate queue recover-keys", or move it away to go on without what it sealed';
      throw new PlantgateError("DISK_FAILED", `the keystore ${this.#folder} cannot be read; ${advice}`, { cause });
    }
  }
}

/**
 * Opens the data keys of a folder with the recovery key's private half and wraps them by a new key of the folder's own.
 * @returns how many keys that were
 * @throws PlantgateError CONFIG_INVALID: not the right key, or a key that was made without a recovery key
 */
export function recoverKeys(dataDir: string, privatePem: string): number {
  const folder = join(dataDir, "keystore");
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => /^keys\.(locked-\d+\.)?json$/.test(name)) : [];
  const locked = files.flatMap((name) => readStored(join(folder, name)));
  if (locked.length === 0)
    throw new PlantgateError("CONFIG_INVALID", `${folder} holds no keys: nothing is sealed in this folder`);
  const keys = locked.map(({ wrapped: _, ...key }) => {
    if (key.recovery === undefined)
      throw new PlantgateError("CONFIG_INVALID", `the data key ${key.id} was made while there was no keystore/recovery.pem`);
    return { ...key, secret: decryptWith(privatePem, key.recovery) };
  });
  writeFlushed(join(folder, "wrapping.key"), randomBytes(keyBytes));
  writeStored(
    folder,
    keys.toSorted((a, b) => a.createdAt - b.createdAt),
  );
  return keys.length;
}

function readStored(file: string): readonly StoredKey[] {
  const stored = JSON.parse(readFileSync(file, "utf8")) as Partial<StoredKeys> | null;
  if (stored?.version !== 1 || !Array.isArray(stored.keys) || !stored.keys.every(isStoredKey))
    throw new PlantgateError("DISK_FAILED", `${file} holds no data keys, or in a form that this program does not know`);
  return stored.keys;
}

function isStoredKey(key: Partial<StoredKey> | null): key is StoredKey {
  return (
    typeof key?.id === "string" &&
    Number.isFinite(key.createdAt) &&
    typeof key.wrapped === "string" &&
    (key.recovery === undefined || typeof key.recovery === "string")
  );
}

function writeStored(folder: string, keys: readonly DataKey[]): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const wrappingFile = join(folder, "wrapping.key");
  if (!existsSync(wrappingFile)) writeFlushed(wrappingFile, randomBytes(keyBytes));
  const wrapping = readFileSync(wrappingFile);
  const stored: StoredKeys = {
    version: 1,
    keys: keys.map(({ secret, ...key }) => ({ ...key, wrapped: wrap(wrapping, key.id, secret).toString("base64") })),
  };
  writeFlushed(join(folder, "keys.json"), Buffer.from(`${JSON.stringify(stored, null, 2)}\n`));
}

const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

function encryptFor(publicPem: string, secret: Uint8Array): string {
  return publicEncrypt({ key: publicPem, ...oaep }, secret).toString("base64");
}

function decryptWith(privatePem: string, recovery: string): Buffer {
  try {
    return privateDecrypt({ key: privatePem, ...oaep }, Buffer.from(recovery, "base64"));
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", "this is not the private half of the recovery key", { cause });
  }
}

function wrap(wrapping: Uint8Array, id: string, secret: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", wrapping, nonce).setAAD(Buffer.from(id));
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

function unwrap(wrapping: Uint8Array, id: string, wrapped: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", wrapping, wrapped.subarray(0, nonceBytes)).setAAD(Buffer.from(id));
  decipher.setAuthTag(wrapped.subarray(-tagBytes));
  return Buffer.concat([decipher.update(wrapped.subarray(nonceBytes, -tagBytes)), decipher.final()]);
}
