import type { Clock } from "../../protocol/index.ts";

/**
 * So many bytes in a second. What is larger than what a second brings goes all the same, and is paid off before anything else goes: over any
 * time it is the rate, and what one second and one batch hold. By running time (P10).
 */
export class ByteRate {
  readonly #clock: Clock;
  #perSecond: number | undefined;
  /** What may go now; below zero: what has to be paid off. */
  #left = 0;
  #at = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined: without a limit. */
  configure(perSecond: number | undefined): void {
    if (perSecond === this.#perSecond) return;
    this.#earn();
    // what was saved up or is owed by another rate is at most a second's worth of this one
    const bound = perSecond ?? 0;
    this.#left = this.#perSecond === undefined ? bound : Math.max(-bound, Math.min(bound, this.#left));
    this.#at = this.#clock.monotonic();
    this.#perSecond = perSecond;
  }

  get perSecond(): number | undefined {
    return this.#perSecond;
  }

  /** How long nothing may go; 0: something may go now, whatever its size. */
  waitMs(): number {
    if (this.#perSecond === undefined) return 0;
    this.#earn();
    return this.#left > 0 ? 0 : Math.max(1, Math.ceil(((1 - this.#left) / this.#perSecond) * 1000));
  }

  took(bytes: number): void {
    this.#earn();
    if (this.#perSecond !== undefined) this.#left -= bytes;
  }

  #earn(): void {
    if (this.#perSecond === undefined) return;
    const now = this.#clock.monotonic();
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
  }
}
