import { chainNext, type HoleReason } from "../../protocol/index.ts";
import type { BatchEntry, BatchHead } from "./batch.ts";

/** Where an epoch stands. */
export interface EpochState {
  readonly first: number;
  readonly watermark: number;
  /** The chain's value at the watermark, hex. */
  readonly chain: string;
}
export interface FreshHole {
  readonly first: number;
  readonly last: number;
  readonly reason: HoleReason;
  readonly chain: string;
}
/** What of a batch is new: its entries behind the watermark, with where their frames lie in the body. */
export interface Fresh {
  readonly first: number;
  readonly last: number;
  readonly chain: string;
  /** The chain's value before its first entry. */
  readonly chainBefore: string;
  readonly entries: readonly BatchEntry[];
  /** The chain's value behind each entry, hex. */
  readonly chains: readonly string[];
  readonly bodyOffset: number;
  readonly bodyBytes: number;
  /** Messages in its frames. */
  readonly count: number;
  readonly holes: readonly FreshHole[];
}
export type Overlap =
  | { readonly kind: "fresh"; readonly fresh: Fresh }
  | { readonly kind: "known" }
  | { readonly kind: "gap" | "fork" };

/**
 * Judges a batch against what is recorded of its epoch (rule 4). Frames up to the watermark are dropped where the recorded chain agrees.
 * A hole over recorded messages changes nothing of them, its rest is a hole. All else under the same numbers is a fork.
 * @param chainAt the chain's recorded value behind a sequence, hex; undefined where no frame and no hole ends there
 */
export function judgeOverlap(
  head: BatchHead,
  body: Uint8Array,
  epoch: EpochState,
  chainAt: (sequence: number) => string | undefined,
): Overlap {
  const { watermark } = epoch;
  if (head.firstSequence > watermark + 1) return { kind: "gap" };
  if (head.firstSequence < epoch.first) return { kind: "fork" };
  const recorded = (sequence: number): string | undefined => (sequence === watermark ? epoch.chain : chainAt(sequence));

  let chain = recorded(head.firstSequence - 1);
  let [sequence, offset] = [head.firstSequence, 0];
  const fresh = startFresh(epoch);
  for (const entry of head.entries) {
    const last = sequence + entry.count - 1;
    if (entry.kind === "frame") {
      if (chain === undefined) return { kind: "fork" };
      chain = chainNext(Buffer.from(chain, "hex"), body.subarray(offset, offset + entry.bytes)).toString("hex");
    } else chain = entry.chain;
    if (last <= watermark) {
      if (recorded(last) !== chain) return { kind: "fork" };
    } else if (entry.kind === "hole") {
      const first = Math.max(sequence, watermark + 1);
      fresh.holes.push({ first, last, reason: entry.reason, chain });
      fresh.entries.push({ ...entry, count: last - first + 1 });
      fresh.chains.push(chain);
    } else {
      // another cut of what is recorded
      if (sequence <= watermark) return { kind: "fork" };
      if (fresh.bodyBytes === 0) fresh.bodyOffset = offset;
      fresh.bodyBytes += entry.bytes;
      fresh.count += entry.count;
      fresh.entries.push(entry);
      fresh.chains.push(chain);
    }
    if (entry.kind === "frame") offset += entry.bytes;
    sequence = last + 1;
  }
  if (chain !== head.chain) return { kind: "fork" };
  if (fresh.entries.length === 0) return { kind: "known" };
  return { kind: "fresh", fresh: { ...fresh, last: sequence - 1, chain } };
}

function startFresh(epoch: EpochState) {
  return {
    first: epoch.watermark + 1,
    chainBefore: epoch.chain,
    entries: [] as BatchEntry[],
    chains: [] as string[],
    holes: [] as FreshHole[],
    bodyOffset: 0,
    bodyBytes: 0,
    count: 0,
  };
}

/** Calls back with each place of a recorded batch where a frame or a hole ends, and the chain's value there. */
export function walkChain(
  batch: {
    readonly first: number;
    readonly chainBefore: string;
    readonly entries: readonly BatchEntry[];
    readonly body: Uint8Array;
  },
  found: (sequence: number, chain: string) => void,
): void {
  let [sequence, offset, chain] = [batch.first, 0, batch.chainBefore];
  for (const entry of batch.entries) {
    if (entry.kind === "frame") {
      chain = chainNext(Buffer.from(chain, "hex"), batch.body.subarray(offset, offset + entry.bytes)).toString("hex");
      offset += entry.bytes;
    } else chain = entry.chain;
    sequence += entry.count;
    found(sequence - 1, chain);
  }
}
