import type { Lane } from "../../protocol/index.ts";
import type { BatchEntry } from "./batch.ts";

/** A recorded batch as the projector sees it, without its body. */
export interface BatchRow {
  readonly site: string;
  readonly lane: Lane;
  readonly number: number;
  readonly epoch: string;
  readonly first: number;
  readonly count: number;
  readonly entries: readonly BatchEntry[];
  readonly inflatedBytes: number;
  readonly receivedAt: number;
  readonly ageMs: number;
}
/** Lines of one batch that follow each other in number, and where the frames lie that hold them (see `slices` in the schema). */
export interface Stretch {
  readonly batch: BatchRow;
  readonly firstSequence: number;
  readonly count: number;
  readonly bodyOffset: number;
  readonly bodyBytes: number;
  readonly skipLines: number;
}
/** What one step projects, and where the lane stands after it. */
export interface Step {
  readonly stretches: readonly Stretch[];
  readonly count: number;
  readonly batch: number;
  readonly done: number;
}

/** Messages of one row of the ledger at most: what is inflated to read one of them. */
export const sliceMessages = 1000;
/** Messages of one step, and so of one flush, at most, where nothing is wrong. Samples cost little beside their flush. */
export function wholeStep(lane: Lane): number {
  return lane === "telemetry" ? 4 * sliceMessages : sliceMessages;
}
/** Text of a step that is in memory at once, unless one frame alone has more. */
const maxInflatedBytes = 8 * 1024 * 1024;

/**
 * The next step of a lane: whole frames up to `size` messages, over as many batches as fit; where `size` is less than a whole step,
 * because something in there fails, exactly so many lines, cutting frames.
 * @param batches from the cursor's on, in order
 */
export function planStep(
  cursor: { readonly lane: Lane; readonly done: number; readonly size: number },
  batches: readonly BatchRow[],
): Step {
  const stretches: Stretch[] = [];
  let [count, inflated, done, batchNumber] = [0, 0, cursor.done, batches[0]?.number ?? 0];
  const whole = cursor.size >= wholeStep(cursor.lane);
  for (const batch of batches) {
    const bodyBytes = batch.entries.reduce((sum, entry) => sum + (entry.kind === "frame" ? entry.bytes : 0), 0);
    let [from, sequence, offset] = [0, batch.first, 0];
    // joined frames have no hole between them, and make one row of the ledger
    let open: { -readonly [Key in keyof Stretch]: Stretch[Key] } | undefined;
    for (const entry of batch.entries) {
      if (entry.kind === "hole") {
        sequence += entry.count;
        open = undefined;
        continue;
      }
      const skip = Math.max(0, done - from);
      const left = entry.count - skip;
      if (left > 0) {
        const take = Math.min(left, cursor.size - count);
        const share = (batch.inflatedBytes * entry.bytes) / bodyBytes;
        const cuts = whole && take < left;
        if (take <= 0 || (count > 0 && (cuts || inflated + share > maxInflatedBytes))) {
          return { stretches, count, batch: batchNumber, done };
        }
        if (open && open.count + take <= sliceMessages) {
          open.count += take;
          open.bodyBytes += entry.bytes;
        } else {
          open = {
            batch,
            firstSequence: sequence + skip,
            count: take,
            bodyOffset: offset,
            bodyBytes: entry.bytes,
            skipLines: skip,
          };
          stretches.push(open);
        }
        count += take;
        inflated += share;
        done += take;
        if (take < left) return { stretches, count, batch: batchNumber, done };
      }
      from += entry.count;
      sequence += entry.count;
      offset += entry.bytes;
    }
    [batchNumber, done] = [batch.number + 1, 0];
  }
  return { stretches, count, batch: batchNumber, done };
}
