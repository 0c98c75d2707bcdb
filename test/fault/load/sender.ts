import type { Book } from "./book.ts";

/** Something that publishes numbered messages as fast as it is allowed to, whatever happens to the receiver. */
export interface Sender extends AsyncDisposable {
  readonly books: readonly Book[];
  /** Nothing new is published from now on; what was is still brought to its end. */
  finish(): void;
  /** Resolves when everything published is acknowledged (or given up, by senders that do not repeat), or at the deadline. */
  settled(deadlineMs: number): Promise<boolean>;
  /** Connections that ended, requests that failed; for the report. */
  readonly troubles: Readonly<Record<string, number>>;
}

/** A rate that is not made up for later: what could not be sent in time is not sent twice as fast afterwards. */
export class Pace {
  readonly #perSecond: number;
  #allowed = 0;
  #at = performance.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** How many may go now; they are taken by {@link took}. */
  available(): number {
    const now = performance.now();
    const most = Math.max(1, this.#perSecond / 10);
    this.#allowed = Math.min(most, this.#allowed + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    return Math.floor(this.#allowed);
  }

  took(count: number): void {
    this.#allowed -= count;
  }
}

/** Resolves as soon as `holds`, false at the deadline. */
export async function reached(holds: () => boolean, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
