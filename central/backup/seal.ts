import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { PlantgateError } from "../../protocol/index.ts";

/**
 * A backup sealed to a key pair whose private half is kept elsewhere, as recovery keys of queues are: a fresh AES-256-GCM key, encrypted for
 * the recipient (RSA-OAEP, SHA-256), then chunks `length ‖ tag ‖ ciphertext`. A chunk's nonce is its number; the last one says that it is, so that
 * nothing is moved, left out or cut off unseen. Before the key stands in clear what tells the backup from others of its folder; chunks are bound to it.
 */
const magic = Buffer.from("plantgate-sealed-1\n");
const [keyBytes, tagBytes, chunkBytes] = [32, 16, 1024 * 1024];
const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

export const mostGistBytes = 1024;

/** The key that a sealed backup was written with: whoever wrote it can read it again. */
export type SealKey = Buffer;

export function makeSealKey(): SealKey {
  return randomBytes(keyBytes);
}

export function isSealed(head: Buffer): boolean {
  return head.subarray(0, magic.length).equals(magic);
}

/** What stands in clear at the head of a sealed file; undefined: it is not sealed, or cut off. */
export function sealedGist(head: Buffer): string | undefined {
  const start = magic.length + 2;
  if (!isSealed(head) || head.length < start) return undefined;
  return head.toString("utf8", start, start + head.readUInt16BE(magic.length));
}

/** @throws PlantgateError CONFIG_INVALID where the recipient is no RSA public key */
export async function* seal(
  pieces: AsyncIterable<Buffer>,
  recipientPem: string,
  key: SealKey,
  gist: string,
): AsyncGenerator<Buffer> {
  const wrapped = wrap(recipientPem, key);
  const clear = Buffer.from(gist);
  yield Buffer.concat([magic, lengthOf(clear), clear, lengthOf(wrapped), wrapped]);
  let number = 0;
  let held: Buffer | undefined;
  for await (const chunk of chunksOf(pieces)) {
    if (held) yield sealChunk(key, number++, held, [0, clear]);
    held = chunk;
  }
  yield sealChunk(key, number, held ?? Buffer.alloc(0), [1, clear]);
}

/** @throws PlantgateError CONFIG_INVALID for another key; INPUT_INVALID where something was changed or cut off */
export async function* unseal(pieces: AsyncIterable<Buffer>, key: { pem: string } | { own: SealKey }): AsyncGenerator<Buffer> {
  const reader = new PieceReader(pieces);
  await reader.take(magic.length);
  const clear = await reader.take((await reader.take(2)).readUInt16BE());
  const wrapped = await reader.take((await reader.take(2)).readUInt16BE());
  const secret = "own" in key ? key.own : unwrap(key.pem, wrapped);
  for (let number = 0; ; number++) {
    const length = (await reader.take(4)).readUInt32BE();
    const last = length >= 2 ** 31;
    const bytes = last ? length - 2 ** 31 : length;
    if (bytes > chunkBytes) throw changed();
    const tag = await reader.take(tagBytes);
    yield openChunk(secret, number, { tag, text: await reader.take(bytes) }, [last ? 1 : 0, clear]);
    if (last) return reader.requireEnd();
  }
}

/** What a chunk is bound to: whether it is the last one, and the clear head. */
type Bound = readonly [last: 0 | 1, clear: Buffer];

function boundOf([last, clear]: Bound): Buffer {
  return Buffer.concat([Buffer.from([last]), clear]);
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return length;
}

function sealChunk(key: SealKey, number: number, text: Buffer, bound: Bound): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonceOf(number));
  cipher.setAAD(boundOf(bound));
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bound[0] === 1 ? sealed.length + 2 ** 31 : sealed.length);
  return Buffer.concat([length, cipher.getAuthTag(), sealed]);
}

function openChunk(key: SealKey, number: number, { tag, text }: { tag: Buffer; text: Buffer }, bound: Bound): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonceOf(number), { authTagLength: tagBytes });
  decipher.setAAD(boundOf(bound));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(text), decipher.final()]);
  } catch (cause) {
    throw changed(cause);
  }
}

function nonceOf(number: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 8);
  return nonce;
}

function wrap(pem: string, key: SealKey): Buffer {
  try {
    return publicEncrypt({ key: pem, ...oaep }, key);
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", "the recipient is no RSA public key in PEM that a backup can be sealed to", {
      cause,
    });
  }
}

function unwrap(pem: string, wrapped: Buffer): SealKey {
  const recoveryKey = readPrivateKey(pem);
  try {
    const key = privateDecrypt({ key: recoveryKey, ...oaep }, wrapped);
    if (key.length === keyBytes) return key;
  } catch {
    // which of the two is wrong nobody can tell
  }
  throw new PlantgateError(
    "CONFIG_INVALID",
    "this recovery key does not open the backup: it was sealed to another one, or its head is damaged",
  );
}

function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new PlantgateError(
      "CONFIG_INVALID",
      "the recovery key is no private key in PEM; one with a passphrase has to be unlocked first: openssl pkey -in FILE -out UNLOCKED",
    );
  }
}

function changed(cause?: unknown): PlantgateError {
  return new PlantgateError("INPUT_INVALID", "it is no whole backup: what is sealed in it was changed or cut off", { cause });
}

async function* chunksOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let [held, bytes]: [Buffer[], number] = [[], 0];
  for await (const piece of pieces) {
    held.push(piece);
    bytes += piece.length;
    while (bytes >= chunkBytes) {
      const all = Buffer.concat(held);
      yield all.subarray(0, chunkBytes);
      [held, bytes] = [[all.subarray(chunkBytes)], all.length - chunkBytes];
    }
  }
  if (bytes > 0) yield Buffer.concat(held);
}

class PieceReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  async take(bytes: number): Promise<Buffer> {
    const parts = [this.#held];
    for (let have = this.#held.length; have < bytes; ) {
      const next = await this.#pieces.next();
      if (next.done) throw changed();
      parts.push(next.value);
      have += next.value.length;
    }
    const all = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    this.#held = all.subarray(bytes);
    return all.subarray(0, bytes);
  }

  async requireEnd(): Promise<void> {
    if (this.#held.length > 0 || !(await this.#pieces.next()).done) throw changed();
  }
}
