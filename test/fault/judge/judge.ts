import type { Book } from "../load/book.ts";
import { identify } from "../load/messages.ts";

/** A message as the ledger's API gives it. */
export interface Recorded {
  readonly position: number;
  readonly site: string;
  readonly lane: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly event: Record<string, unknown>;
}

export interface Verdict {
  readonly acknowledged: number;
  readonly recorded: number;
  /** Acknowledged and not in the ledger. */
  readonly lost: number;
  /** Recorded more than once: how many times too often. */
  readonly duplicates: number;
  /** Of these, samples: they have no key by which anybody could know them again. */
  readonly samplesAgain: number;
  /** Recorded behind a later message of its key. */
  readonly reordered: number;
  /** Recorded with another content than was sent, or never sent at all. */
  readonly altered: number;
}

/** Where a message is recorded. */
export interface Place {
  readonly epoch: string;
  readonly sequence: number;
}

interface Tally {
  readonly counts: Uint8Array;
  readonly sequences: Uint32Array;
  /** Index into the judge's list of epochs. */
  readonly epochs: Uint16Array;
  /** The highest message of each key so far. */
  readonly newest: Int32Array;
}

const examples = 3;

/**
 * Holds the ledger, read once from its beginning in its order, against the senders' books. A message that a sender repeats, or whose
 * acknowledgement was lost on the way, may be recorded without being acknowledged; never twice.
 */
export class Judge {
  readonly #books: ReadonlyMap<string, Book>;
  readonly #tallies = new Map<string, Tally>();
  readonly #seen: string[] = [];
  readonly #epochs: string[] = [];
  #duplicates = 0;
  #samplesAgain = 0;
  #reordered = 0;
  #altered = 0;
  #recorded = 0;

  constructor(books: readonly Book[]) {
    this.#books = new Map(books.map((book) => [book.stream.name, book]));
    for (const book of books) {
      const { stream, published } = book;
      this.#tallies.set(stream.name, {
        counts: new Uint8Array(published),
        sequences: new Uint32Array(published),
        epochs: new Uint16Array(published),
        newest: new Int32Array(stream.keys).fill(-1),
      });
    }
  }

  /** The next message of the ledger. */
  take(message: Recorded): void {
    const found = identify(message.event, this.#books);
    // what gateways say of themselves is nobody's message
    if (!found) return;
    this.#recorded += 1;
    const { book, n } = found;
    const tally = this.#tallies.get(book.stream.name);
    if (!found.fits || !tally || n >= tally.counts.length || !Number.isInteger(n) || n < 0) {
      this.#altered += 1;
      this.#note(`altered or never sent: ${book.stream.name}-${n} at ${message.position}`);
      return;
    }
    if ((tally.counts[n] ?? 0) > 0) {
      this.#duplicates += 1;
      if (book.stream.kind === "sample") this.#samplesAgain += 1;
      this.#note(`recorded again: ${book.stream.name}-${n} at ${message.position} (${message.epoch}/${message.sequence})`);
      return;
    }
    tally.counts[n] = 1;
    tally.sequences[n] = message.sequence;
    tally.epochs[n] = this.#indexOf(message.epoch);
    const key = book.keyOf(n);
    const newest = tally.newest[key] ?? -1;
    if (n < newest) {
      this.#reordered += 1;
      this.#note(`behind ${book.stream.name}-${newest}: ${book.stream.name}-${n} at ${message.position}`);
    } else tally.newest[key] = n;
  }

  /** Where message `n` is recorded; undefined where it is not. */
  place(stream: string, n: number): Place | undefined {
    const tally = this.#tallies.get(stream);
    if (tally?.counts[n] !== 1) return undefined;
    return { epoch: this.#epochs[tally.epochs[n] ?? 0] ?? "", sequence: tally.sequences[n] ?? 0 };
  }

  /** How many messages the ledger was held against. */
  published(stream: string): number {
    return this.#tallies.get(stream)?.counts.length ?? 0;
  }

  book(stream: string): Book | undefined {
    return this.#books.get(stream);
  }

  /** Acknowledged messages that the ledger does not hold, by stream. */
  missing(): Map<string, number[]> {
    const missing = new Map<string, number[]>();
    for (const [name, book] of this.#books) {
      const counts = this.#tallies.get(name)?.counts;
      const numbers: number[] = [];
      for (let n = 0; n < book.published; n++) if (book.isAcknowledged(n) && counts?.[n] !== 1) numbers.push(n);
      if (numbers.length > 0) missing.set(name, numbers);
    }
    return missing;
  }

  verdict(): Verdict {
    const lost = [...this.missing().values()].reduce((sum, numbers) => sum + numbers.length, 0);
    return {
      acknowledged: [...this.#books.values()].reduce((sum, book) => sum + book.acknowledged, 0),
      recorded: this.#recorded,
      lost,
      duplicates: this.#duplicates,
      samplesAgain: this.#samplesAgain,
      reordered: this.#reordered,
      altered: this.#altered,
    };
  }

  /** A few of what is wrong, for a person. */
  findings(): string[] {
    const lost = [...this.missing()].flatMap(([name, numbers]) => {
      const few = numbers.slice(0, examples).join(", ");
      return `lost of ${name}: ${numbers.length}, such as ${few}`;
    });
    return [...lost, ...this.#seen];
  }

  #indexOf(epoch: string): number {
    const index = this.#epochs.indexOf(epoch);
    return index >= 0 ? index : this.#epochs.push(epoch) - 1;
  }

  #note(finding: string): void {
    if (this.#seen.length < 4 * examples) this.#seen.push(finding);
  }
}
