import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { frameLimits, PlantgateError } from "../../protocol/index.ts";

const zstd = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 } };
const mostInflated = { maxOutputLength: 4 * frameLimits.bytes + 1024 * 1024 };
const newline = 0x0a;

/** A frame's events: zstd of NDJSON, each line ended by a newline, so that frames join by concatenation. */
export function encodeText(text: Uint8Array): Buffer {
  return zstdCompressSync(text, zstd);
}

/** @throws PlantgateError FRAME_CORRUPT */
export function decodeLines(events: Uint8Array, count: number): string[] {
  let text: string;
  try {
    text = zstdDecompressSync(events, mostInflated).toString("utf8");
  } catch (cause) {
    throw new PlantgateError("FRAME_CORRUPT", "the frame cannot be inflated", { cause });
  }
  const lines = text.slice(0, -1).split("\n");
  if (lines.length !== count)
    throw new PlantgateError("FRAME_CORRUPT", "the frame does not hold as many messages as it says", {
      context: { count, found: lines.length },
    });
  return lines;
}

/** How many lines a frame's events have; 0 where they cannot be inflated. */
export function countLines(events: Uint8Array): number {
  try {
    const text = zstdDecompressSync(events, mostInflated);
    let lines = 0;
    for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, at + 1)) lines++;
    return lines;
  } catch {
    return 0;
  }
}

const sameAsBefore = 0xffffffff;

/**
 * The raw inputs of a frame's messages, in their order: length (UInt32LE) and bytes; a message of the same input as the one before
 * it has the length 0xffffffff and no bytes; none has length 0.
 */
export function encodeInputs(inputs: readonly (Uint8Array | undefined)[]): Buffer {
  const parts: Uint8Array[] = [];
  let before: Uint8Array | undefined;
  for (const input of inputs) {
    const length = Buffer.alloc(4);
    if (input !== undefined && input === before) {
      length.writeUInt32LE(sameAsBefore);
      parts.push(length);
    } else {
      length.writeUInt32LE(input?.byteLength ?? 0);
      parts.push(length);
      if (input) parts.push(input);
    }
    before = input;
  }
  return zstdCompressSync(Buffer.concat(parts), zstd);
}

/** @throws PlantgateError FRAME_CORRUPT */
export function decodeInputs(stored: Uint8Array): (Buffer | undefined)[] {
  try {
    return splitInputs(zstdDecompressSync(stored));
  } catch (cause) {
    throw new PlantgateError("FRAME_CORRUPT", "the inputs of a frame cannot be read", { cause });
  }
}

function splitInputs(raw: Buffer): (Buffer | undefined)[] {
  const inputs: (Buffer | undefined)[] = [];
  for (let at = 0; at < raw.length; ) {
    const length = raw.readUInt32LE(at);
    at += 4;
    if (length === sameAsBefore) inputs.push(inputs.at(-1));
    else {
      inputs.push(length === 0 ? undefined : raw.subarray(at, at + length));
      at += length;
    }
  }
  return inputs;
}
