import type { Tally } from "../base/seen.ts";
import type { PeerConsumed } from "./peer-consumed.ts";

/** What became of a backlog after the link returned. Times count from the moment at which the far end listened again. */
export interface Replayed {
  /** Taken in and acknowledged while the link was down. */
  readonly fillPerSecond: number;
  readonly firstBatchSeconds: number;
  /** Recorded at the far end, from the first to the last. */
  readonly acknowledgedPerSecond: number;
  readonly acknowledgedSeconds: number;
  /** Read one by one by a consumer at the far end, from the first to the last. */
  readonly readPerSecond: number;
  readonly readSeconds: number;
  readonly tally: Tally;
}

export interface PeerReplay extends Replayed {
  readonly diskMiB: number;
  readonly peakRssMiB: number;
}

/** A peer's far end shows a message first when its consumer has it: both rates are the consumer's. */
export function arrivals(read: PeerConsumed, messages: number, returnedAt: number): Omit<Replayed, "fillPerSecond"> {
  const perSecond = ((messages - 1) / Math.max(1, read.lastAt - read.firstAt)) * 1000;
  const seconds = (read.lastAt - returnedAt) / 1000;
  return {
    firstBatchSeconds: (read.firstAt - returnedAt) / 1000,
    acknowledgedPerSecond: perSecond,
    acknowledgedSeconds: seconds,
    readPerSecond: perSecond,
    readSeconds: seconds,
    tally: read,
  };
}
