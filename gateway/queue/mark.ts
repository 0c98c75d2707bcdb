import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { isNoRoom } from "../write-flushed.ts";
import type { QueueLane } from "./change.ts";
import { laneNumbers } from "./schema.ts";

/** A lane after its last flush: the next sequence, the last one that central has, the last one that has its deliveries. */
export interface LaneMark {
  readonly epoch: string;
  readonly next: number;
  readonly acknowledged: number;
  readonly dispatched: number;
}

const lanes = Object.keys(laneNumbers) as QueueLane[];
/** One sector, so that it is written whole. */
const sizeBytes = 512;

/**
 * A note beside the queue's file of how far each lane was flushed, written after each commit and never flushed itself: it is never
 * ahead of the disk. SQLite takes a damaged or cut-off log for its end and opens without a word, with acknowledged messages gone; this
 * note tells that, so that their numbers are not given out again and the range is reported (P2).
 */
export class FlushMark {
  readonly #handle: number;
  readonly #buffer = Buffer.alloc(sizeBytes);

  constructor(path: string) {
    this.#handle = openSync(path, existsSync(path) ? "r+" : "w", 0o600);
  }

  /** Where there is no room for it, the one before stays. */
  write(marks: ReadonlyMap<QueueLane, LaneMark>): void {
    const text = lanes
      .map((lane) => {
        const { epoch = "", next = 0, acknowledged = 0, dispatched = 0 } = marks.get(lane) ?? {};
        return `${epoch} ${next} ${acknowledged} ${dispatched}`;
      })
      .join("\n");
    this.#buffer.fill(0);
    const length = this.#buffer.write(text, 8, "latin1");
    this.#buffer.writeUInt32LE(length, 4);
    this.#buffer.writeUInt32LE(crc32(this.#buffer.subarray(4, 8 + length)), 0);
    try {
      writeSync(this.#handle, this.#buffer, 0, sizeBytes, 0);
    } catch (error) {
      // it is only a note: an older one stays true
      if (!isNoRoom(error)) throw error;
    }
  }

  close(): void {
    closeSync(this.#handle);
  }
}

/** The marks of a file; empty where there is none, or not a whole one. */
export function readMark(path: string): Map<QueueLane, LaneMark> {
  const marks = new Map<QueueLane, LaneMark>();
  if (!existsSync(path)) return marks;
  const buffer = readFileSync(path);
  if (buffer.length < sizeBytes) return marks;
  const length = buffer.readUInt32LE(4);
  if (length > sizeBytes - 8 || crc32(buffer.subarray(4, 8 + length)) !== buffer.readUInt32LE(0)) return marks;
  for (const [index, line] of buffer
    .toString("latin1", 8, 8 + length)
    .split("\n")
    .entries()) {
    const [epoch = "", ...numbers] = line.split(" ");
    const [next = Number.NaN, acknowledged = Number.NaN, dispatched = Number.NaN] = numbers.map(Number);
    const lane = lanes[index];
    if (lane !== undefined && epoch !== "" && Number.isSafeInteger(next + acknowledged + dispatched))
      marks.set(lane, { epoch, next, acknowledged, dispatched });
  }
  return marks;
}
