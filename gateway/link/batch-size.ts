import { batchLimits } from "../../protocol/index.ts";
import { maxPerLane } from "./lane-shares.ts";

const targetMs = 400;
const startBytes = 16 * 1024;
const largestBytes = 1024 * 1024;
const leastSilenceMs = 15_000;
const mostSilenceMs = 120_000;

/**
 * How much a batch takes, and how many are under way: both grow while answers come quickly and shrink when they are slow or do not come,
 * so that a slow link is never held by requests for long, and a fast one is filled. Batches share a link: each session begins with one.
 * Frames are whole: one always goes.
 */
export class BatchSize {
  #bytes = startBytes;
  #frames: number = batchLimits.frames;
  #silenceMs = leastSilenceMs;
  #window = 1;

  /** Batches under way at once. */
  get window(): number {
    return this.#window;
  }

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

  /** A new session: the link may be another one than before. */
  begins(): void {
    this.#window = 1;
    this.#bytes = Math.min(this.#bytes, startBytes);
  }

  /** A batch of `bytes` was answered after `tookMs`. */
  answered(bytes: number, tookMs: number): void {
    this.#silenceMs = Math.min(mostSilenceMs, Math.max(leastSilenceMs, 4 * tookMs));
    this.#frames = Math.min(batchLimits.frames, this.#frames * 2);
    if (tookMs > 2 * targetMs) this.#shrink();
    if (tookMs > targetMs) return;
    this.#window = Math.min(maxPerLane, this.#window * 2);
    if (bytes >= this.#bytes / 2) this.#bytes = Math.min(largestBytes, this.#bytes * 2);
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
    this.#window = Math.max(1, this.#window >> 1);
    this.#bytes = Math.max(1, Math.floor(this.#bytes / 2));
  }
}
