import { createHash } from "node:crypto";

/** The first value of a lane's chain, in an epoch that continues no other. */
export function chainGenesis(site: string, lane: string, epoch: string): Buffer {
  return createHash("sha256").update(`plantgate-chain:${site}:${lane}:${epoch}`).digest();
}

/** SHA-256(previous ‖ compressed frame): one wrong or missing frame changes every later value (rule 4). */
export function chainNext(previous: Uint8Array, compressed: Uint8Array): Buffer {
  return createHash("sha256").update(previous).update(compressed).digest();
}
