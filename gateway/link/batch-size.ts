import { batchLimits } from "../../protocol/index.ts";

const targetMs = 400;
const startBytes = 64 * 1024;
const largestBytes = 2 * 1024 * 1024;
const leastSilenceMs = 15_000;
const mostSilenceMs = 120_000;

/**
 * How much a batch takes: grows while answers come quickly, shrinks when they are slow or do not come, so that a slow link is never
 * held by one request for long, and a fast one is filled. Frames are whole: one always goes.
 */
export class BatchSize {
  #bytes = startBytes;
  #frames: number = batchLimits.frames;
  #silenceMs = leastSilenceMs;

  get limits(): { readonly frames: number; readonly bytes: number } {
    return { frames: this.#frames, bytes: this.#bytes };
  }

  /**
   * How long a batch waits without a sign of life. What the system has taken into its buffers is under way without one: on a very slow
   * link even one frame may take longer than usual, so patience grows with each batch that is lost.
   */
  get silenceMs(): number {
    return this.#silenceMs;
  }

  /** A batch of `bytes` was answered after `tookMs`. */
  answered(bytes: number, tookMs: number): void {
    this.#silenceMs = Math.min(mostSilenceMs, Math.max(leastSilenceMs, 4 * tookMs));
    this.#frames = Math.min(batchLimits.frames, this.#frames * 2);
    if (tookMs > 2 * targetMs) this.#shrink();
    else if (tookMs < targetMs && bytes >= this.#bytes / 2) this.#bytes = Math.min(largestBytes, this.#bytes * 2);
  }

  /** No answer came. */
  lost(): void {
    this.#silenceMs = Math.min(mostSilenceMs, 2 * this.#silenceMs);
    this.#shrink();
  }

  /** The receiver takes fewer frames at once. */
  tooLarge(frames: number): void {
    this.#frames = Math.max(1, Math.floor(frames / 2));
    this.#shrink();
  }

  #shrink(): void {
    this.#bytes = Math.max(1, Math.floor(this.#bytes / 2));
  }
}
