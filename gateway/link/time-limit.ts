import type { Clock } from "../../protocol/index.ts";

/** A way to central that carries less than a kilobyte a second counts as none. */
const leastBytesPerMs = 1;

/**
 * The longest that one exchange may take: a fixed time, and what its bytes need on the slowest way that counts. A limit on silence alone
 * lets whoever sends a byte now and then hold a lane for ever.
 */
export class TimeLimit {
  readonly #clock: Clock;
  readonly #began: number;
  readonly #over: (afterMs: number) => void;
  #limitMs: number;
  #timer: NodeJS.Timeout;

  constructor(clock: Clock, limitMs: number, over: (afterMs: number) => void) {
    this.#clock = clock;
    this.#began = clock.monotonic();
    this.#over = over;
    this.#limitMs = limitMs;
    this.#timer = setTimeout(() => this.#look(), limitMs);
  }

  /** So many bytes more are to be sent, or have come. */
  allowFor(bytes: number): void {
    this.#limitMs += bytes / leastBytesPerMs;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const tookMs = this.#clock.monotonic() - this.#began;
    if (tookMs >= this.#limitMs) this.#over(tookMs);
    else this.#timer = setTimeout(() => this.#look(), this.#limitMs - tookMs);
  }
}
