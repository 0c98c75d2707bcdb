import { existsSync, readFileSync } from "node:fs";
import { until } from "../../support/process.ts";

/** When central's answers to batches left it, as the probe in central noted them (probes/batches.ts). */
export interface Acknowledgements {
  readonly firstAt: number;
  /** Messages of the first batch. */
  readonly firstCount: number;
  readonly lastAt: number;
  readonly count: number;
  readonly batches: number;
}

export interface AcknowledgedBatch {
  /** When its answer left. */
  readonly at: number;
  /** When its head had arrived. */
  readonly cameAt: number;
  readonly first: number;
  readonly count: number;
}

/** Batches of one lane that central answered with 200; the answers of others, such as gaps, do not count. */
export function readBatches(file: string, lane: string): AcknowledgedBatch[] {
  return (existsSync(file) ? readFileSync(file, "utf8") : "")
    .split("\n")
    .filter((line) => line.includes(`/lanes/${lane}/`))
    .map((line) => line.split(" "))
    .filter(([, , , status]) => status === "200")
    .map(([at, first, count, , , cameAt]) => ({
      at: Number(at),
      cameAt: Number(cameAt),
      first: Number(first),
      count: Number(count),
    }));
}

export function readAcknowledgements(file: string, lane: string): Acknowledgements {
  const entries = readBatches(file, lane);
  // answers of a window of batches may leave in another order than the watermark rises
  let [last, firstAt, lastAt, firstCount] = [0, 0, 0, 0];
  for (const { at, first, count } of entries) {
    if (firstAt === 0) [firstAt, firstCount] = [at, count];
    if (first + count - 1 > last) last = first + count - 1;
    lastAt = Math.max(lastAt, at);
  }
  return { firstAt, firstCount, lastAt, count: last, batches: entries.length };
}

const lookEveryMs = 50;

/** Waits until everything up to `count` was acknowledged. */
export async function acknowledged(file: string, lane: string, count: number, deadlineMs: number): Promise<Acknowledgements> {
  return until(
    async () => {
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      return readAcknowledgements(file, lane);
    },
    (found) => found.count >= count,
    deadlineMs,
  );
}
