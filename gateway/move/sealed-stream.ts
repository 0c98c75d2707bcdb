import { createCipheriv, createDecipheriv } from "node:crypto";
import { PlantgateError } from "../../protocol/index.ts";

/**
 * Any amount of data sealed in chunks: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), as age has it, with AES-256-GCM. A
 * chunk's nonce is its number and whether it is the last one, so that none can be left out, repeated, exchanged or cut off. A key seals one
 * stream only. All chunks but the last have {@link chunkBytes} of plain text; the last one is empty only where there is nothing at all.
 */
export const chunkBytes = 1024 * 1024;
const tagBytes = 16;

export interface StreamKey {
  /** 32 bytes, of this one stream. */
  readonly secret: Uint8Array;
  /** What the stream belongs to: it opens with nothing else. */
  readonly context: Uint8Array;
}

export async function* sealStream(source: AsyncIterable<Uint8Array>, key: StreamKey): AsyncGenerator<Buffer> {
  let number = 0;
  for await (const { chunk, last } of inChunks(source, chunkBytes)) {
    const cipher = createCipheriv("aes-256-gcm", key.secret, nonce(number++, last)).setAAD(key.context);
    yield Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
  }
}

/** Gives out nothing that was not sealed as it is. @throws PlantgateError SIGNATURE_INVALID */
export async function* openStream(source: AsyncIterable<Uint8Array>, key: StreamKey): AsyncGenerator<Buffer> {
  let number = 0;
  for await (const { chunk, last } of inChunks(source, chunkBytes + tagBytes)) {
    if (chunk.length < tagBytes) throw damaged();
    const decipher = createDecipheriv("aes-256-gcm", key.secret, nonce(number++, last)).setAAD(key.context);
    decipher.setAuthTag(chunk.subarray(-tagBytes));
    try {
      yield Buffer.concat([decipher.update(chunk.subarray(0, -tagBytes)), decipher.final()]);
    } catch (cause) {
      throw damaged(cause);
    }
  }
}

function damaged(cause?: unknown): PlantgateError {
  return new PlantgateError("SIGNATURE_INVALID", "the file is cut off, or it was changed on its way: copy it again", { cause });
}

function nonce(number: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(number, 5, 6);
  bytes[11] = last ? 1 : 0;
  return bytes;
}

/** Chunks of one size, and a rest that is the last; at least one. */
async function* inChunks(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ readonly chunk: Buffer; readonly last: boolean }> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of source) {
    parts.push(part);
    length += part.length;
    if (length <= size) continue;
    // the last byte that is there tells that another chunk follows
    const all = Buffer.concat(parts);
    let at = 0;
    for (; length - at > size; at += size) yield { chunk: all.subarray(at, at + size), last: false };
    parts = [all.subarray(at)];
    length -= at;
  }
  yield { chunk: Buffer.concat(parts), last: true };
}
