import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";

const keyBytes = 16;
const hashBytes = 8;
const entryBytes = keyBytes + hashBytes;

/** How many (flow, idempotency key) pairs are remembered: at 100 a second, half an hour; at 1 a second, two days. */
export const repeatWindow = 200_000;

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

/**
 * The plant's own repeats (rule 3): held in memory for lookup, kept on disk as one row per flush in order of time, so that the
 * hot path never writes into the middle of an index.
 */
export class RepeatWindow {
  readonly #entries = new Map<string, string>();
  readonly #limit: number;

  constructor(db: DatabaseSync, limit = repeatWindow) {
    this.#limit = limit;
    for (const row of db.prepare("SELECT entries FROM repeats ORDER BY first").iterate()) {
      const text = Buffer.from(row.entries as Uint8Array).toString("latin1");
      for (let at = 0; at < text.length; at += entryBytes) {
        this.#entries.set(text.slice(at, at + keyBytes), text.slice(at + keyBytes, at + entryBytes));
      }
    }
    this.#trim();
  }

  find(key: string): string | undefined {
    return this.#entries.get(key);
  }

  /** Writes the entries of one flush; call {@link remember} once it is committed. */
  write(db: DatabaseSync, first: number, entries: readonly RepeatEntry[]): void {
    if (entries.length === 0) return;
    const blob = Buffer.from(entries.map((entry) => entry.key + entry.hash).join(""), "latin1");
    db.prepare("INSERT INTO repeats (first, entries) VALUES (?, ?)").run(first, blob);
  }

  remember(entries: readonly RepeatEntry[]): void {
    for (const { key, hash } of entries) this.#entries.set(key, hash);
    this.#trim();
  }

  /** Deletes rows that are wholly older than the window. Rows are counted by their blobs, newest first. */
  prune(db: DatabaseSync): void {
    const rows = db.prepare("SELECT first, length(entries) AS size FROM repeats ORDER BY first DESC").all() as {
      first: number;
      size: number;
    }[];
    let kept = 0;
    for (const row of rows) {
      if (kept >= this.#limit) {
        db.prepare("DELETE FROM repeats WHERE first <= ?").run(row.first);
        return;
      }
      kept += row.size / entryBytes;
    }
  }

  #trim(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#limit) return;
      this.#entries.delete(key);
    }
  }
}
