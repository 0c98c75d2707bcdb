import type { Tally } from "../base/seen.ts";

/** What a consumer at a peer's far end saw. */
export interface PeerConsumed extends Tally {
  readonly firstAt: number;
  readonly lastAt: number;
}

export interface PeerConsumerOptions {
  readonly port: number;
  readonly first: number;
  readonly count: number;
}

const againMs = 10;

/** Tries until the far end is back. */
export async function dial<Link>(open: () => Promise<Link>): Promise<Link> {
  for (;;) {
    try {
      return await open();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }
}
