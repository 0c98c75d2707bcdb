import { zstdDecompressSync } from "node:zlib";

/** Output is taken in pieces of this size at least: never out of the pool that small buffers share. */
const smallestPiece = Math.max(128 * 1024, 2 * Buffer.poolSize);
/** Texts with memory of their own; small buffers share theirs. */
const owners = new WeakSet<Buffer>();
/** How much larger texts are than their frames, lately. */
let ratio = 12;

/**
 * Inflates frames into one buffer of about the right size. Texts are large and short-lived: left to the garbage collector, they make it
 * walk the whole heap every hundred frames, which costs more than all else that is done with them; so whoever is done with one
 * {@link release}s it.
 * @throws an error with code ERR_BUFFER_TOO_LARGE past `maxBytes`, another one for what is not zstd
 */
export function inflate(compressed: Uint8Array, maxBytes: number): Buffer {
  const guess = Math.ceil(compressed.byteLength * ratio * 1.2);
  const chunkSize = Math.min(Math.max(guess, smallestPiece), Math.max(maxBytes + 1, smallestPiece));
  const text = zstdDecompressSync(compressed, { maxOutputLength: maxBytes, chunkSize });
  if (compressed.byteLength > 1024) ratio += (text.byteLength / compressed.byteLength - ratio) * 0.1;
  owners.add(text);
  if (text.byteLength > smallestPiece / 2) return text;
  // a small result does not keep a piece alive
  const small = Buffer.from(text);
  release(text);
  return small;
}

/** Gives a text's memory back. Nobody may look at it after that. */
export function release(text: Buffer): void {
  if (owners.delete(text)) (text.buffer as ArrayBuffer).transfer(0);
}
