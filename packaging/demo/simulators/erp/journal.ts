import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Effects reach the file at most this long after they were booked. */
const groupMs = 50;

export type BookedKind = "pick" | "consumption" | "finished" | "scrap";

/**
 * What the simulator did, for those who compare it with what was reported. `txns` are the keys of the messages that the effect comes
 * from, as the notes on its record name them: none where nobody tagged it.
 */
export type JournalEntry = { readonly at: string } & (
  | {
      readonly kind: "released";
      readonly moId: string;
      readonly orderName: string;
      readonly warehouse: string;
      readonly item: string;
      readonly quantity: number;
      readonly revision: number;
    }
  | {
      readonly kind: "booked";
      readonly what: BookedKind;
      readonly txn: string | null;
      readonly txns: readonly string[];
      readonly moId: string | null;
      readonly orderName: string | null;
      readonly item: string;
      readonly lot: string | null;
      readonly quantity: number;
      readonly moveLineId: number;
    }
  | {
      readonly kind: "booked";
      readonly what: "note";
      readonly txn: string | null;
      readonly type: string | null;
      readonly record: string;
      readonly moId: string | null;
      readonly item: string | null;
      readonly lot: string | null;
      readonly quantity: number | null;
    }
);

/** An append-only file of one JSON object a line, flushed in small groups. Without a path the entries are only kept in memory. */
export class Journal {
  readonly #entries: JournalEntry[] = [];
  readonly #file: number | undefined;
  #waiting: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(path: string | undefined) {
    if (path === undefined) return;
    mkdirSync(dirname(path), { recursive: true });
    this.#file = openSync(path, "a", 0o600);
  }

  /** All entries of this run, when there is no file to read them from. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  append(entries: readonly JournalEntry[]): void {
    if (entries.length === 0 || this.#closed) return;
    if (this.#file === undefined) {
      this.#entries.push(...entries);
      return;
    }
    for (const entry of entries) this.#waiting.push(`${JSON.stringify(entry)}\n`);
    this.#timer ??= setTimeout(() => this.flush(), groupMs);
  }

  /** Writes and fsyncs what waits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#file === undefined || this.#waiting.length === 0) return;
    const text = this.#waiting.join("");
    this.#waiting = [];
    writeSync(this.#file, text);
    fsyncSync(this.#file);
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    if (this.#file !== undefined) closeSync(this.#file);
  }
}
