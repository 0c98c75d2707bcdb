import { createHash } from "node:crypto";
import { batchLimits, frameLimits, type HoleReason, holeReasons, type Lane } from "../../protocol/index.ts";
import { inflate, release } from "./inflate.ts";
import { zstdBytes } from "./zstd-frame.ts";

/** What a batch holds, in order: a frame with its bytes in the body, or a hole (tombstone) with the chain's value behind it. */
export type BatchEntry =
  | { readonly kind: "frame"; readonly count: number; readonly bytes: number }
  | { readonly kind: "hole"; readonly count: number; readonly reason: HoleReason; readonly chain: string };

/** A batch as its headers describe it (protocol/batch.ts). */
export interface BatchHead {
  readonly site: string;
  readonly lane: Lane;
  readonly session: string;
  readonly epoch: string;
  readonly firstSequence: number;
  /** Messages in frames and in holes. */
  readonly count: number;
  readonly chain: string;
  readonly entries: readonly BatchEntry[];
  /** How long its oldest frame has waited, by running time. */
  readonly ageMs: number;
}

/** `count/bytes,count~reason~chain` of the header; undefined where it is not that. */
export function parseEntries(header: string): BatchEntry[] | undefined {
  const entries: BatchEntry[] = [];
  for (const part of header.split(",")) {
    if (entries.length === batchLimits.frames) return undefined;
    const frame = /^\s*([1-9]\d{0,6})\/([1-9]\d{0,8})\s*$/.exec(part);
    if (frame) {
      entries.push({ kind: "frame", count: Number(frame[1]), bytes: Number(frame[2]) });
      continue;
    }
    const hole = /^\s*([1-9]\d{0,14})~([a-z-]+)~([0-9a-f]{64})\s*$/.exec(part);
    const reason = holeReasons.find((each) => each === hole?.[2]);
    if (!hole || reason === undefined) return undefined;
    entries.push({ kind: "hole", count: Number(hole[1]), reason, chain: hole[3] as string });
  }
  return entries;
}

/** The header's text for some entries, in one spelling. */
export function formatEntries(entries: readonly BatchEntry[]): string {
  return entries
    .map((entry) => (entry.kind === "frame" ? `${entry.count}/${entry.bytes}` : `${entry.count}~${entry.reason}~${entry.chain}`))
    .join(",");
}

/** What is wrong with a head and its body's length, for the sender; undefined when they fit. */
export function headProblem(head: BatchHead, bodyBytes: number): string | undefined {
  const bytes = head.entries.reduce((sum, entry) => sum + (entry.kind === "frame" ? entry.bytes : 0), 0);
  const count = head.entries.reduce((sum, entry) => sum + entry.count, 0);
  if (bytes !== bodyBytes) return `the frames have ${bytes} bytes together, the body has ${bodyBytes}`;
  if (count !== head.count) return `the frames have ${count} messages together, the batch says ${head.count}`;
  if (!Number.isSafeInteger(head.firstSequence + count)) return "the sequences are too large";
  const large = head.entries.find((entry) => entry.kind === "frame" && entry.count > frameLimits.messages);
  return large ? `a frame has ${frameLimits.messages} messages at most` : undefined;
}

/** The first value of a lane's chain in an epoch. */
export function chainGenesis(site: string, lane: string, epoch: string): Buffer {
  return createHash("sha256").update(`plantgate-chain:${site}:${lane}:${epoch}`).digest();
}

/** The chain's value behind a frame: SHA-256(previous ‖ the frame's compressed bytes). */
export function chainNext(previous: Uint8Array, compressed: Uint8Array): Buffer {
  return createHash("sha256").update(previous).update(compressed).digest();
}

/** What the body of a batch turned out to be: its size inflated, or what is wrong with it. */
export type Content =
  | { readonly kind: "whole"; readonly inflatedBytes: number }
  | { readonly kind: "wrong"; readonly detail: string };

const newline = 0x0a;
export const tooMuch = `the batch inflates to more than ${batchLimits.inflatedBytes} bytes`;

/**
 * Inflates each frame and counts its lines, never holding more than one frame nor more than the limit of a batch: 8 KB of zstd can
 * hold 256 MiB. On the main thread: a frame takes less time than the way to another thread and back.
 */
export function judgeContent(head: Pick<BatchHead, "entries">, body: Uint8Array): Content {
  const wrong = (detail: string): Content => ({ kind: "wrong", detail });
  let [offset, inflatedBytes, index] = [0, 0, 0];
  for (const entry of head.entries) {
    index++;
    if (entry.kind === "hole") continue;
    const left = batchLimits.inflatedBytes - inflatedBytes;
    const compressed = body.subarray(offset, offset + entry.bytes);
    const whole = zstdBytes(compressed);
    // frames are inflated joined: bytes between two of them would hide the second
    if (whole > 0 && whole !== entry.bytes) return wrong(`frame ${index} says ${entry.bytes} bytes and has ${whole}`);
    let text: Buffer;
    try {
      if (left === 0) return wrong(tooMuch);
      if (whole === 0) return wrong(`frame ${index} is not zstd`);
      text = inflate(compressed, left);
    } catch (error) {
      if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") return wrong(tooMuch);
      return wrong(`frame ${index} is not zstd`);
    }
    const [lines, bytes, ended] = [countLines(text), text.byteLength, text.at(-1) === newline];
    release(text);
    if (!ended) return wrong(`frame ${index} does not end with a newline`);
    if (lines !== entry.count) return wrong(`frame ${index} says ${entry.count} messages and holds ${lines} lines`);
    offset += entry.bytes;
    inflatedBytes += bytes;
  }
  return { kind: "whole", inflatedBytes };
}

function countLines(text: Buffer): number {
  let lines = 0;
  for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, at + 1)) lines++;
  return lines;
}
