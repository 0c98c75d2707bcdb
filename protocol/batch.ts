/** Limits of a batch; a single frame always fits. */
export const frameLimits = { messages: 1000, bytes: 1024 * 1024 } as const;
export const batchLimits = {
  frames: 1000,
  /** Of `Plantgate-Frames`: proxies commonly take header lines of 8 KiB. */
  framesHeaderBytes: 7000,
  compressedBytes: 4 * 1024 * 1024,
  inflatedBytes: 32 * 1024 * 1024,
} as const;

/**
 * Why messages will never come: what a tombstone says of its range (P2). `size`, `count`, `age`: past the lane's budget. `disk`: the
 * disk was full. `damaged`: what lay on disk cannot be read. `locked`: it is encrypted and its key is missing. `lost-by-receiver`:
 * central acknowledged them, lost them, and the gateway had deleted them (rule 6).
 */
export const holeReasons = ["size", "count", "age", "disk", "damaged", "locked", "lost-by-receiver"] as const;
export type HoleReason = (typeof holeReasons)[number];

/** Headers of `POST /v1/sites/{site}/lanes/{lane}/batches`. */
export const batchHeaders = {
  session: "plantgate-session",
  epoch: "plantgate-epoch",
  firstSequence: "plantgate-first-sequence",
  count: "plantgate-count",
  /** SHA-256 chain over the frames up to and with the last of this batch, hex. */
  chain: "plantgate-chain",
  /**
   * What the batch holds, in order, joined by commas: `count/bytes` a frame, with its bytes as they lie compressed in the body;
   * `count~reason~chain` a hole (tombstone), with nothing in the body and the chain's value behind it, hex.
   */
  frames: "plantgate-frames",
  /** Running time in ms that the oldest frame of the batch has waited in the gateway; by no wall clock. */
  age: "plantgate-age",
} as const;
