export interface Tally {
  readonly expected: number;
  readonly received: number;
  readonly lost: number;
  readonly doubled: number;
  /** Came after a later one. */
  readonly reordered: number;
}

/** Counts numbered messages one by one, of `first` to `first + expected - 1`. */
export class Seen {
  readonly #first: number;
  readonly #expected: number;
  readonly #marks: Uint8Array;
  #distinct = 0;
  #doubled = 0;
  #reordered = 0;
  #highest = Number.NEGATIVE_INFINITY;

  constructor(first: number, expected: number) {
    this.#first = first;
    this.#expected = expected;
    this.#marks = new Uint8Array(expected);
  }

  /** @throws Error for a number that was never sent */
  note(ordinal: number): void {
    const at = ordinal - this.#first;
    if (!(at >= 0 && at < this.#expected)) throw new Error(`message ${ordinal} was never sent`);
    if (this.#marks[at] === 1) {
      this.#doubled += 1;
      return;
    }
    this.#marks[at] = 1;
    this.#distinct += 1;
    if (ordinal < this.#highest) this.#reordered += 1;
    else this.#highest = ordinal;
  }

  get complete(): boolean {
    return this.#distinct === this.#expected;
  }

  get distinct(): number {
    return this.#distinct;
  }

  tally(): Tally {
    return {
      expected: this.#expected,
      received: this.#distinct + this.#doubled,
      lost: this.#expected - this.#distinct,
      doubled: this.#doubled,
      reordered: this.#reordered,
    };
  }
}
