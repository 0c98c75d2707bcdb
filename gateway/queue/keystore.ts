import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { writeFlushed } from "./write-flushed.ts";

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

const storedKeys = z.strictObject({
  version: z.literal(1),
  keys: z.array(z.strictObject({ id: z.string(), createdAt: z.number(), wrapped: z.base64() })),
});
type StoredKeys = z.infer<typeof storedKeys>;

export interface DataKey {
  readonly id: string;
  readonly createdAt: number;
  readonly secret: Buffer;
}

/**
 * Data keys of the queue, newest last, each wrapped (AES-256-GCM) by the folder's own key-encryption key. Both lie in `keystore/` of the
 * data folder, readable by its owner alone: whoever backs up or moves the folder without `keystore/` takes sealed messages that nobody
 * can read, and whoever destroys it has destroyed them.
 */
export class Keystore {
  readonly #folder: string;
  readonly #now: () => number;
  #keys: DataKey[];

  constructor(dataDir: string, now: () => number) {
    this.#folder = join(dataDir, "keystore");
    this.#now = now;
    this.#keys = this.#read();
  }

  find(id: string): DataKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /** The key that new frames are sealed with; made at the first call, and anew when it is older than `rotateEveryMs`. Flushed on return. */
  current(rotateEveryMs: number): DataKey {
    const newest = this.#keys.at(-1);
    if (newest && this.#now() - newest.createdAt < rotateEveryMs) return newest;
    const made = { id: randomUUID(), createdAt: this.#now(), secret: randomBytes(keyBytes) };
    this.#keys = [...this.#keys, made];
    this.#write();
    return made;
  }

  #read(): DataKey[] {
    const file = join(this.#folder, "keys.json");
    if (!existsSync(file)) return [];
    try {
      const { keys } = storedKeys.parse(JSON.parse(readFileSync(file, "utf8")));
      const wrapping = readFileSync(join(this.#folder, "wrapping.key"));
      return keys.map(({ id, createdAt, wrapped }) => ({
        id,
        createdAt,
        secret: unwrap(wrapping, id, Buffer.from(wrapped, "base64")),
      }));
    } catch (cause) {
      throw new PlantgateError(
        "DISK_FAILED",
        `the keystore ${this.#folder} cannot be read; restore it, or move it away to go on without`,
        {
          cause,
        },
      );
    }
  }

  #write(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const wrappingFile = join(this.#folder, "wrapping.key");
    if (!existsSync(wrappingFile)) writeFlushed(wrappingFile, randomBytes(keyBytes));
    const wrapping = readFileSync(wrappingFile);
    const stored: StoredKeys = {
      version: 1,
      keys: this.#keys.map(({ id, createdAt, secret }) => ({
        id,
        createdAt,
        wrapped: wrap(wrapping, id, secret).toString("base64"),
      })),
    };
    writeFlushed(join(this.#folder, "keys.json"), Buffer.from(`${JSON.stringify(stored, null, 2)}\n`));
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
