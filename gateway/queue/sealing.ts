import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import type { DataKey, Keystore } from "./keystore.ts";

const nonceBytes = 12;
const tagBytes = 16;

/** Sealed bytes and the number of their sealing key; plain bytes have the key null. */
export interface Sealed {
  readonly key: number | null;
  readonly bytes: Uint8Array;
}

interface Subkey {
  readonly id: number;
  readonly dataKey: string;
  readonly secret: Buffer;
}

/**
 * Seals what the queue writes: AES-256-GCM with a subkey of its own for each time the file was opened (HKDF of a data key and a fresh
 * salt), so that nonces can count from 0 and a file that was copied and opened twice never uses one nonce twice. The associated data
 * binds a value to its place: moved to another, it does not open (rule 17).
 */
export class Sealing {
  readonly #db: DatabaseSync;
  readonly #keystore: Keystore;
  readonly #opened = new Map<number, Buffer | undefined>();
  #rotateEveryMs: number | undefined;
  #current: Subkey | undefined;
  #nonce = 0n;

  constructor(db: DatabaseSync, keystore: Keystore) {
    this.#db = db;
    this.#keystore = keystore;
  }

  /** From now on seals with the newest data key, made anew when older than that; undefined: writes plain. What lies there stays. */
  configure(rotateEveryMs: number | undefined): void {
    this.#rotateEveryMs = rotateEveryMs;
    this.#current = undefined;
  }

  /** Inside the caller's transaction: the first value of a subkey writes its row. */
  seal(plain: Uint8Array, place: string): Sealed {
    const subkey = this.#subkey();
    if (!subkey) return { key: null, bytes: plain };
    const nonce = Buffer.alloc(nonceBytes);
    nonce.writeBigUInt64BE(this.#nonce++, nonceBytes - 8);
    const cipher = createCipheriv("aes-256-gcm", subkey.secret, nonce).setAAD(Buffer.from(place));
    return { key: subkey.id, bytes: Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]) };
  }

  /** @throws PlantgateError FRAME_LOCKED: its key is missing; FRAME_CORRUPT: not what was written, or not in this place */
  open(key: number | null, bytes: Uint8Array, place: string): Uint8Array {
    if (key === null) return bytes;
    const secret = this.#secret(key);
    if (!secret) throw new PlantgateError("FRAME_LOCKED", "it is sealed with a key that the keystore does not have");
    try {
      const decipher = createDecipheriv("aes-256-gcm", secret, bytes.subarray(0, nonceBytes)).setAAD(Buffer.from(place));
      decipher.setAuthTag(bytes.subarray(-tagBytes));
      return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    } catch (cause) {
      throw new PlantgateError("FRAME_CORRUPT", "what lies on disk is not what was sealed", { cause });
    }
  }

  /** The transaction that wrote a new subkey's row was taken back: the next value makes another. */
  forget(): void {
    if (this.#current && this.#db.prepare("SELECT 1 FROM sealing_keys WHERE id = ?").get(this.#current.id) === undefined)
      this.#current = undefined;
  }

  #subkey(): Subkey | undefined {
    if (this.#rotateEveryMs === undefined) return undefined;
    const dataKey = this.#keystore.current(this.#rotateEveryMs);
    if (this.#current?.dataKey === dataKey.id) return this.#current;
    const salt = randomBytes(32);
    const { lastInsertRowid } = this.#db.prepare("INSERT INTO sealing_keys (data_key, salt) VALUES (?, ?)").run(dataKey.id, salt);
    this.#current = { id: Number(lastInsertRowid), dataKey: dataKey.id, secret: derive(dataKey, salt) };
    this.#nonce = 0n;
    return this.#current;
  }

  #secret(id: number): Buffer | undefined {
    if (this.#current?.id === id) return this.#current.secret;
    if (!this.#opened.has(id)) {
      const row = this.#db.prepare("SELECT data_key, salt FROM sealing_keys WHERE id = ?").get(id);
      const dataKey = row && this.#keystore.find(row.data_key as string);
      this.#opened.set(id, dataKey && derive(dataKey, row.salt as Uint8Array));
    }
    return this.#opened.get(id);
  }
}

function derive({ secret }: DataKey, salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, salt, "plantgate-queue", 32));
}

/** Where a value lies, as its associated data. A lane gives each sequence once, in whatever epoch, so an epoch adds nothing. */
export const places = {
  frame: (lane: string, first: number, count: number, part: "events" | "inputs"): string =>
    `frame/${lane}/${first}/${count}/${part}`,
  delivery: (connector: string, messageId: string): string => `delivery/${connector}/${messageId}`,
  deadLetter: (id: string): string => `dead-letter/${id}`,
};
