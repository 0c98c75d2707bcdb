import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DiskState } from "../../protocol/index.ts";
import type { DiskReport } from "./change.ts";
import { type ProbeRoom, whatIsFull } from "./room.ts";

const mebibyte = 1024 * 1024;
const lookEveryMs = 200;
/** How long a reserve that could not be written waits: it may be that the figures of the disk do not show what is used up. */
const retryMs = 60_000;

/** What is free, of how much; injected so that a test can fill a disk. */
export type ReadSpace = (folder: string) => { readonly freeBytes: number; readonly sizeBytes: number };

const readSpace: ReadSpace = (folder) => {
  const { bavail, blocks, bsize } = statfsSync(folder);
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
};

function writeZeros(file: string, sizeBytes: number): void {
  const zeros = Buffer.alloc(mebibyte);
  const handle = openSync(file, "w", 0o600);
  try {
    // a nearly full disk takes a part of what a single write is given
    for (let written = 0; written < sizeBytes; )
      written += writeSync(handle, zeros, 0, Math.min(zeros.length, sizeBytes - written));
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function reserveFile(queuePath: string): string {
  return join(dirname(queuePath), "reserve");
}

/** Gives the reserve beside a queue's file free. @returns whether there was one */
export function freeReserve(queuePath: string): boolean {
  if (!existsSync(reserveFile(queuePath))) return false;
  unlinkSync(reserveFile(queuePath));
  return true;
}

/**
 * The full-disk ladder, lowest step first: samples make room for each other, batch data is refused, then transactions are refused at
 * their source. A reserve that was written out in advance pays for the gateway's own bookkeeping (tombstones, acknowledgements, outcomes) when
 * even the last step did not help, as other programs write on this disk as well.
 */
export class Disk {
  readonly #path: string;
  readonly #reserveFile: string;
  readonly #readSpace: ReadSpace;
  readonly #probeRoom: ProbeRoom | undefined;
  readonly #uptimeMs: () => number;
  #report: DiskReport = { state: "ok", freeBytes: 0 };
  #sizeBytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** A write found no room, and none was seen since. */
  #foundFull = false;
  /** What the queue's owner may have of the disk is used up. Its figures do not show when that is over: the reserve has to find room again. */
  #quotaUsedUp = false;
  #reserveFailedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { path: string; uptimeMs: () => number; readSpace?: ReadSpace; probeRoom?: ProbeRoom }) {
    this.#path = options.path;
    this.#reserveFile = reserveFile(options.path);
    this.#readSpace = options.readSpace ?? readSpace;
    this.#probeRoom = options.probeRoom;
    this.#uptimeMs = options.uptimeMs;
  }

  /** As of at most 200 ms ago. */
  look(): DiskReport {
    const now = this.#uptimeMs();
    if (now - this.#lookedAt >= lookEveryMs) {
      this.#lookedAt = now;
      const { freeBytes, sizeBytes } = this.#readSpace(dirname(this.#path));
      this.#sizeBytes = sizeBytes;
      const { refusing, reserve } = this.#steps();
      // more than the reserve that was given free for it: else the next write would only find out again
      if (freeBytes >= refusing + reserve) this.#foundFull = false;
      this.#report = { state: this.#stateAt(freeBytes), freeBytes: this.#quotaUsedUp ? 0 : freeBytes };
    }
    return this.#report;
  }

  /** Whether a write failed for want of room, and not because the disk failed. Of a used-up quota it is remembered. */
  isFull(error: unknown): boolean {
    const full = whatIsFull(error, this.#path, this.#probeRoom);
    if (full !== "quota") return full !== undefined;
    this.#quotaUsedUp = true;
    this.#reserveFailedAt = this.#uptimeMs();
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** A write failed for want of room. @returns whether the reserve was there to be given free, so that bookkeeping may be tried again */
  foundFull(): boolean {
    this.#foundFull = true;
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    return freeReserve(this.#path);
  }

  /**
   * Writes the reserve out where it is missing and there is room for it; one that fails is tried again a minute later. A quota has room again once
   * the reserve has: until then nothing is taken, so that what the gateway notes of its own work has all that is left.
   */
  keepReserve(): void {
    const { freeBytes } = this.look();
    const { reserve, discarding } = this.#steps();
    const whole = existsSync(this.#reserveFile) && statSync(this.#reserveFile).size >= reserve;
    const isDue = this.#quotaUsedUp || (!whole && freeBytes >= discarding + reserve);
    if (!isDue || this.#uptimeMs() - this.#reserveFailedAt < retryMs) return;
    try {
      if (!whole) writeZeros(this.#reserveFile, reserve);
      this.#quotaUsedUp = false;
      this.#lookedAt = Number.NEGATIVE_INFINITY;
    } catch {
      // also the file itself may have found no room
      rmSync(this.#reserveFile, { force: true });
      this.#reserveFailedAt = this.#uptimeMs();
    }
  }

  #stateAt(freeBytes: number): DiskState {
    const steps = this.#steps();
    if (this.#foundFull || this.#quotaUsedUp || freeBytes < steps.refusing) return "refusing";
    if (freeBytes < steps.bulkRefused) return "bulk-refused";
    return freeBytes < steps.discarding ? "discarding" : "ok";
  }

  #steps(): LadderSteps {
    return ladderSteps(this.#sizeBytes);
  }
}

/** Bytes that are free when a step begins. */
export interface LadderSteps {
  readonly discarding: number;
  readonly bulkRefused: number;
  readonly refusing: number;
  /** Of the file that pays for bookkeeping. */
  readonly reserve: number;
}

/** Below so much free space each step begins: absolute on a usual disk, a share of a small one. */
export function ladderSteps(sizeBytes: number): LadderSteps {
  const of = (most: number, share: number): number => Math.min(most * mebibyte, Math.floor(sizeBytes / share));
  return { discarding: of(512, 10), bulkRefused: of(256, 16), refusing: of(128, 32), reserve: of(32, 64) };
}
