import { nowMs } from "../base/child.ts";
import { ordinalOf } from "../base/lines.ts";
import { Seen } from "../base/seen.ts";
import type { PeerConsumed } from "./peer-consumed.ts";

/** Without anything new for so long, what is missing counts as lost. */
const stallMs = 60_000;

/** Takes messages one by one as they arrive at a consumer; ends with the last one. */
export class Arrivals {
  readonly #seen: Seen;
  readonly #done = Promise.withResolvers<void>();
  #firstAt = 0;
  #lastAt = 0;
  #before = 0;

  constructor(first: number, count: number) {
    this.#seen = new Seen(first, count);
  }

  take(line: string): void {
    this.#seen.note(ordinalOf(line));
    if (this.#firstAt === 0) this.#firstAt = nowMs();
    if (!this.#seen.complete) return;
    this.#lastAt = nowMs();
    this.#done.resolve();
  }

  async all(): Promise<PeerConsumed> {
    const watch = setInterval(() => {
      if (this.#seen.distinct === this.#before && this.#before > 0) this.#done.resolve();
      this.#before = this.#seen.distinct;
    }, stallMs);
    await this.#done.promise;
    clearInterval(watch);
    return { ...this.#seen.tally(), firstAt: this.#firstAt, lastAt: this.#lastAt || nowMs() };
  }
}
