import type { StorageTransaction } from "../storage/storage.ts";
import type { RecordedEpoch } from "./append.ts";
import { type BatchHead, parseEntries } from "./batch.ts";

/** Batches that are read ahead of a frame: those that were resent lie one behind the other. */
const batchesAhead = 32;
export const chainBytes = 32;

/**
 * The chain's recorded value wherever an entry of a batch ends that is not new, and before its first one. Bodies are not looked at, and
 * under a hole no more than its end, so that no batch, however long its holes are, costs more than its own entries.
 */
export async function recordedChains(
  tx: StorageTransaction,
  head: BatchHead,
  epoch: RecordedEpoch,
): Promise<ReadonlyMap<number, string>> {
  const chains = new Map([
    [epoch.first - 1, epoch.firstChain],
    [epoch.watermark, epoch.chain],
  ]);
  let last = head.firstSequence - 1;
  if (head.entries[0]?.kind === "frame" && !(await findChain(tx, head, last, chains, 1))) return chains;
  for (const entry of head.entries) {
    last += entry.count;
    if (last >= epoch.watermark) break;
    // one that was never recorded is a fork, whatever comes behind it
    if (!(await findChain(tx, head, last, chains, entry.kind === "hole" ? 1 : batchesAhead))) break;
  }
  return chains;
}

/** Looks a value up, and takes those of up to `most` batches behind it along. @returns whether there is one */
async function findChain(
  tx: StorageTransaction,
  { site, lane, epoch }: BatchHead,
  sequence: number,
  chains: Map<number, string>,
  most: number,
): Promise<boolean> {
  if (chains.has(sequence)) return true;
  const batches = await tx
    .selectFrom("batches")
    .select(["first_sequence", "frames", "chains"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "=", epoch)
    .where("last_sequence", ">=", sequence)
    .orderBy("last_sequence")
    .limit(most)
    .execute();
  for (const batch of batches) noteEnds(batch, chains);
  if (chains.has(sequence)) return true;
  const hole = await tx
    .selectFrom("holes")
    .select("chain")
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "=", epoch)
    .where("last_sequence", "=", sequence)
    .executeTakeFirst();
  if (hole) chains.set(sequence, hole.chain);
  return hole !== undefined;
}

function noteEnds(
  batch: { readonly first_sequence: number; readonly frames: string; readonly chains: Uint8Array },
  chains: Map<number, string>,
): void {
  const values = Buffer.from(batch.chains.buffer, batch.chains.byteOffset, batch.chains.byteLength);
  let sequence = batch.first_sequence - 1;
  for (const [index, entry] of recordedEntries(batch.frames).entries()) {
    sequence += entry.count;
    chains.set(sequence, values.toString("hex", index * chainBytes, (index + 1) * chainBytes));
  }
}

/** Entries of a recorded batch. @throws RangeError for what was never written */
export function recordedEntries(frames: string) {
  const entries = parseEntries(frames);
  if (!entries) throw new RangeError("the frames of a recorded batch cannot be read");
  return entries;
}
