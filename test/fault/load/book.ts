/** What one sender numbers: business messages have an idempotency key, samples have none. */
export type StreamKind = "finished" | "shortage" | "sample";

export interface Stream {
  /** Part of every message's identity; no dashes. */
  readonly name: string;
  readonly kind: StreamKind;
  /** Message n has the ordering key n modulo this. */
  readonly keys: number;
  /** The sender repeats what was not acknowledged until it is; otherwise it goes on, and such a message may be recorded or not. */
  readonly repeats: boolean;
}

/**
 * What a sender published and what was acknowledged to it, kept in this process, outside of whatever fails. Messages are numbered from 0
 * in the order of their first publication.
 */
export class Book {
  readonly stream: Stream;
  #acknowledged = new Uint8Array(4096);
  #published = 0;
  #count = 0;

  constructor(stream: Stream) {
    this.stream = stream;
  }

  get published(): number {
    return this.#published;
  }

  /** How many were acknowledged, each counted once. */
  get acknowledged(): number {
    return this.#count;
  }

  /** Gives out the next number. */
  publish(): number {
    if (this.#published === this.#acknowledged.length) {
      const larger = new Uint8Array(this.#acknowledged.length * 2);
      larger.set(this.#acknowledged);
      this.#acknowledged = larger;
    }
    return this.#published++;
  }

  acknowledge(n: number): void {
    if (n >= this.#published || this.#acknowledged[n] === 1) return;
    this.#acknowledged[n] = 1;
    this.#count += 1;
  }

  isAcknowledged(n: number): boolean {
    return this.#acknowledged[n] === 1;
  }

  keyOf(n: number): number {
    return n % this.stream.keys;
  }
}
