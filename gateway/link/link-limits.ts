import { type Bundle, durationMs, type Lane, linkPolicy, sizeBytes } from "../../protocol/index.ts";
import type { LaneShares } from "./lane-shares.ts";

/** What the bundle in effect asks of the way to central; each value is read anew where it is needed, so that a change applies live. */
export class LinkLimits {
  readonly #shares: Pick<LaneShares, "limit">;
  #policy = linkPolicy.parse({});

  constructor(shares: Pick<LaneShares, "limit">) {
    this.#shares = shares;
  }

  configure({ link }: Pick<Bundle, "link">): void {
    this.#policy = link ?? linkPolicy.parse({});
    this.#shares.limit(this.bytesPerSecond);
  }

  /** What one batch holds at most: no more than a second brings, so that lanes take turns within it; one frame always goes. */
  get batch(): { readonly bytes: number; readonly messages: number } {
    const { bytes, messages = Number.POSITIVE_INFINITY } = this.#policy.batch;
    return { bytes: Math.min(sizeBytes(bytes), this.bytesPerSecond ?? Number.POSITIVE_INFINITY), messages };
  }

  /** How long the first message after a silence waits for company. */
  lingerMs(lane: Lane): number {
    return durationMs(this.#policy.linger[lane]);
  }

  /** What the whole way to central may take; undefined: no limit is set. */
  get bytesPerSecond(): number | undefined {
    const { bytesPerSecond } = this.#policy;
    return bytesPerSecond === undefined ? undefined : sizeBytes(bytesPerSecond);
  }
}
