import { createHash } from "node:crypto";
import type { Statements } from "./statements.ts";

const keyBytes = 16;
const hashBytes = 8;
const entryBytes = keyBytes + hashBytes;

/** How many (flow, idempotency key) pairs are remembered: at 100 a second, half an hour; at 1 a second, two days. */
export const repeatWindow = 200_000;
/** Rows of the table are forgotten together, so many entries at a time. */
const sectionEntries = 1000;

export interface RepeatEntry {
  readonly key: string;
  readonly hash: string;
}

/** Fixed-size forms of a key and a payload hash, as they are kept: 128 bits of the key, 64 of the hash. */
export function toRepeatEntry(key: string, payloadHash: string): RepeatEntry {
  return {
    key: createHash("sha256").update(key).digest("latin1").slice(0, keyBytes),
    hash: Buffer.from(payloadHash, "hex").toString("latin1").slice(0, hashBytes),
  };
}

/** Rows that follow each other: the last one's number, and how many entries they hold. */
interface Section {
  last: number;
  entries: number;
}

/**
 * What came before, of the plant (rule 3) or of central: held in memory for lookup, kept on disk as one row per flush in order of time, so
 * that the hot path never writes into the middle of an index.
 */
export class RepeatWindow {
  readonly #statements: Statements;
  readonly #entries = new Map<string, string>();
  readonly #sections: Section[] = [];
  readonly #table: string;
  readonly #limit: number;

  constructor(statements: Statements, table: "repeats" | "received", limit = repeatWindow) {
    this.#statements = statements;
    this.#table = table;
    this.#limit = limit;
    for (const row of statements.prepare(`SELECT first, entries FROM ${table} ORDER BY first`).iterate()) {
      const text = Buffer.from(row.entries as Uint8Array).toString("latin1");
      for (let at = 0; at < text.length; at += entryBytes)
        this.#entries.set(text.slice(at, at + keyBytes), text.slice(at + keyBytes, at + entryBytes));
      this.#note(row.first as number, text.length / entryBytes);
    }
    this.#trim();
  }

  find(key: string): string | undefined {
    return this.#entries.get(key);
  }

  /** Writes the entries of one flush, in its transaction; call {@link remember} with the result once it is committed. */
  write(entries: readonly RepeatEntry[]): number {
    const blob = Buffer.from(entries.map((entry) => entry.key + entry.hash).join(""), "latin1");
    const oldest = this.#sections[0];
    // what the newest sections alone fill is the window; a section that falls out is deleted with the first that it no longer matters to
    if (oldest && this.#held() - oldest.entries >= this.#limit)
      this.#statements.run(`DELETE FROM ${this.#table} WHERE first <= ?`, oldest.last);
    return Number(this.#statements.run(`INSERT INTO ${this.#table} (entries) VALUES (?)`, blob).lastInsertRowid);
  }

  remember(row: number, entries: readonly RepeatEntry[]): void {
    for (const { key, hash } of entries) this.#entries.set(key, hash);
    const oldest = this.#sections[0];
    if (oldest && this.#held() - oldest.entries >= this.#limit) this.#sections.shift();
    this.#note(row, entries.length);
    this.#trim();
  }

  #held(): number {
    return this.#sections.reduce((sum, section) => sum + section.entries, 0);
  }

  #note(row: number, entries: number): void {
    const section = this.#sections.at(-1);
    if (section && section.entries < sectionEntries) {
      section.last = row;
      section.entries += entries;
    } else this.#sections.push({ last: row, entries });
  }

  #trim(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#limit) return;
      this.#entries.delete(key);
    }
  }
}
