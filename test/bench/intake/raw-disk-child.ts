import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { serveParent } from "../base/child.ts";
import { payloadBytes, samplePayload } from "../base/lines.ts";

export interface RawWritesOptions {
  readonly folder: string;
  /** Messages of one write and flush. */
  readonly window: number;
  readonly seconds: number;
  readonly preallocated: boolean;
  /** Ends earlier when so much is written. */
  readonly bytes?: number;
}
export interface RawWrites {
  readonly perSecond: number;
}

const preallocatedBytes = 256 * 1024 * 1024;
const distinctBatches = 20;

// what this file system can do at all: one write and one fdatasync for each batch, from one thread
await serveParent<RawWritesOptions, RawWrites>(
  async ({ folder, window, seconds, preallocated, bytes = Number.POSITIVE_INFINITY }) => {
    const file = join(folder, "raw");
    if (preallocated) execFileSync("fallocate", ["--length", String(preallocatedBytes), file]);
    const batches = Array.from({ length: distinctBatches }, (_, batch) =>
      Buffer.from(Array.from({ length: window }, (_, index) => samplePayload(batch * window + index)).join("")),
    );
    const descriptor = openSync(file, preallocated ? "r+" : "a");
    const batchBytes = window * payloadBytes;
    let [count, at] = [0, 0];
    const write = (): void => {
      const batch = batches[count % batches.length] as Buffer;
      if (preallocated && at + batchBytes > preallocatedBytes) at = 0;
      writeSync(descriptor, batch, 0, batch.length, preallocated ? at : null);
      fdatasyncSync(descriptor);
      at += batchBytes;
      count += 1;
    };
    const runFor = (limitMs: number): number => {
      const began = performance.now();
      while (performance.now() - began < limitMs && count * batchBytes < bytes) write();
      return performance.now() - began;
    };
    runFor(Math.min(1000, seconds * 200));
    count = 0;
    const tookMs = runFor(seconds * 1000);
    closeSync(descriptor);
    return { perSecond: ((count * window) / tookMs) * 1000 };
  },
);
