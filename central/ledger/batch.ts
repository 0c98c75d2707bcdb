import { createHash } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { batchLimits, frameLimits, type Lane } from "../../protocol/index.ts";

/** A batch as its headers describe it (protocol/sync.ts). */
export interface BatchHead {
  readonly site: string;
  readonly lane: Lane;
  readonly session: string;
  readonly epoch: string;
  readonly firstSequence: number;
  readonly count: number;
  readonly chain: string;
  readonly frames: readonly { readonly count: number; readonly bytes: number }[];
}
/** One frame of a body, with its place and its value of the chain. */
export interface Frame {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array;
  readonly chain: string;
}

/** `count/bytes,count/bytes` of the header; undefined where it is not that. */
export function parseFrames(header: string): { count: number; bytes: number }[] | undefined {
  const frames: { count: number; bytes: number }[] = [];
  for (const part of header.split(",")) {
    const match = /^([1-9]\d{0,6})\/([1-9]\d{0,8})$/.exec(part.trim());
    if (!match || frames.length === batchLimits.frames) return undefined;
    frames.push({ count: Number(match[1]), bytes: Number(match[2]) });
  }
  return frames;
}

/** What is wrong with a head and its body's length, for the sender; undefined when they fit. */
export function headProblem(head: BatchHead, bodyBytes: number): string | undefined {
  const bytes = head.frames.reduce((sum, frame) => sum + frame.bytes, 0);
  const count = head.frames.reduce((sum, frame) => sum + frame.count, 0);
  if (bytes !== bodyBytes) return `the frames have ${bytes} bytes together, the body has ${bodyBytes}`;
  if (count !== head.count) return `the frames have ${count} messages together, the batch says ${head.count}`;
  const large = head.frames.find((frame) => frame.count > frameLimits.messages);
  return large ? `a frame has ${frameLimits.messages} messages at most` : undefined;
}

/** The first value of a lane's chain in an epoch. */
export function chainGenesis(site: string, lane: string, epoch: string): Buffer {
  return createHash("sha256").update(`plantgate-chain:${site}:${lane}:${epoch}`).digest();
}

/** Cuts a body into its frames; each one's chain is SHA-256(previous ‖ the frame's compressed bytes). */
export function cutFrames(head: BatchHead, body: Uint8Array, previous: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  let [offset, sequence, chain] = [0, head.firstSequence, previous];
  for (const { count, bytes } of head.frames) {
    const compressed = body.subarray(offset, offset + bytes);
    chain = createHash("sha256").update(chain).update(compressed).digest();
    frames.push({ first: sequence, last: sequence + count - 1, bytes: compressed, chain: Buffer.from(chain).toString("hex") });
    offset += bytes;
    sequence += count;
  }
  return frames;
}

const newline = 0x0a;

/**
 * Inflates each frame and counts its lines, never holding more than one frame nor more than the limit of a batch: 8 KB of zstd can
 * hold 256 MiB. On the main thread: a frame takes less time than the way to another thread and back.
 * @returns what is wrong, or undefined
 */
export function contentProblem(head: BatchHead, body: Uint8Array): string | undefined {
  let [offset, left] = [0, batchLimits.inflatedBytes as number];
  for (const [index, { count, bytes }] of head.frames.entries()) {
    let text: Buffer;
    try {
      if (left === 0) return tooMuch;
      text = zstdDecompressSync(body.subarray(offset, offset + bytes), { maxOutputLength: left });
    } catch (error) {
      if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") return tooMuch;
      return `frame ${index + 1} is not zstd`;
    }
    if (text.at(-1) !== newline) return `frame ${index + 1} does not end with a newline`;
    const lines = countLines(text);
    if (lines !== count) return `frame ${index + 1} says ${count} messages and holds ${lines} lines`;
    offset += bytes;
    left -= text.length;
  }
  return undefined;
}
export const tooMuch = `the batch inflates to more than ${batchLimits.inflatedBytes} bytes`;

function countLines(text: Buffer): number {
  let lines = 0;
  for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, at + 1)) lines++;
  return lines;
}

/** The lines of a recorded frame. */
export function frameLines(compressed: Uint8Array): string[] {
  const text = zstdDecompressSync(compressed, { maxOutputLength: batchLimits.inflatedBytes }).toString("utf8");
  return text.slice(0, -1).split("\n");
}
