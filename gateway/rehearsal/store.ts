import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { RecordedInput } from "./recorded-input.ts";

/** One flow's share of an input. `input` numbers inputs: one that several flows took has one number. */
export interface RecordedShare {
  readonly input: number;
  readonly flow: string;
  readonly recorded: RecordedInput;
}

const version = 1;
const schema = [
  `CREATE TABLE inputs (id INTEGER PRIMARY KEY, input INTEGER NOT NULL, flow TEXT NOT NULL, connector TEXT NOT NULL, origin TEXT NOT NULL,
    decoded TEXT, body BLOB NOT NULL, received_at INTEGER NOT NULL, message_id TEXT, bytes INTEGER NOT NULL)`,
  // holds all that is counted at the start
  "CREATE INDEX inputs_by_flow ON inputs (flow, id, bytes)",
  "CREATE TABLE shadow (flow TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE cursors (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  `PRAGMA user_version = ${version}`,
];

export function rehearsalFile(dataDir: string): string {
  return join(dataDir, "rehearsal.sqlite");
}

/** Removes the file and what SQLite keeps beside it. */
export function removeStore(file: string): void {
  for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(file + end, { force: true });
}

/**
 * What rehearsals work with: recorded inputs, what flows in shadow came to, and their cursors. All of it may be lost without harm, so nothing is ever
 * flushed to the disk on its account, and a file that cannot be read is made anew. Nobody but its user may read it.
 */
export class RehearsalStore {
  readonly #database: DatabaseSync;
  readonly #file: string;
  /** Of each flow, how many inputs there are; and the bytes of all. */
  readonly #counts = new Map<string, number>();
  #bytes = 0;

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file;
    this.#database = database;
    for (const { flow, count, bytes } of database
      .prepare("SELECT flow, count(*) AS count, sum(bytes) AS bytes FROM inputs GROUP BY flow")
      .all() as { flow: string; count: number; bytes: number }[]) {
      this.#counts.set(flow, count);
      this.#bytes += bytes;
    }
  }

  static open(file: string): RehearsalStore {
    try {
      return new RehearsalStore(file, openDatabase(file));
    } catch {
      // damaged, or of another version: it holds nothing that is not recorded again
      removeStore(file);
      return new RehearsalStore(file, openDatabase(file));
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The highest number that was given to an input. */
  get lastInput(): number {
    return (this.#database.prepare("SELECT max(input) AS last FROM inputs").get() as { last: number | null }).last ?? 0;
  }

  /** Adds inputs in one transaction; of each flow the newest `perFlow` stay, and of all of them the newest within `maxBytes`. */
  add(shares: readonly RecordedShare[], { perFlow, maxBytes }: { readonly perFlow: number; readonly maxBytes: number }): void {
    this.#inTransaction(() => {
      const insert = this.#database.prepare(
        "INSERT INTO inputs (input, flow, connector, origin, decoded, body, received_at, message_id, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      );
      for (const { input, flow, recorded } of shares) {
        const { connector, origin, decoded, body, receivedAt, messageId } = recorded;
        const decodedText = decoded === undefined ? null : JSON.stringify(decoded);
        const bytes = sizeOf(recorded) + (decodedText?.length ?? 0);
        insert.run(input, flow, connector, JSON.stringify(origin), decodedText, body, receivedAt, messageId ?? null, bytes);
        this.#counts.set(flow, (this.#counts.get(flow) ?? 0) + 1);
        this.#bytes += bytes;
      }
      for (const flow of new Set(shares.map((share) => share.flow))) {
        const excess = (this.#counts.get(flow) ?? 0) - perFlow;
        if (excess > 0) this.#remove("SELECT id FROM inputs WHERE flow = ? ORDER BY id LIMIT ?", flow, excess);
      }
      while (this.#bytes > maxBytes && this.#remove("SELECT id FROM inputs ORDER BY id LIMIT ?", 10) > 0);
    });
  }

  /** The shares of the newest inputs, oldest first, as they were when it was called. */
  newest(inputs: number): Generator<RecordedShare> {
    return newestShares(this.#database, inputs);
  }

  cursors(): Map<string, string> {
    const rows = this.#database.prepare("SELECT name, value FROM cursors").all() as { name: string; value: string }[];
    return new Map(rows.map(({ name, value }) => [name, value]));
  }

  shadowStates(): Map<string, string> {
    const rows = this.#database.prepare("SELECT flow, state FROM shadow").all() as { flow: string; state: string }[];
    return new Map(rows.map(({ flow, state }) => [flow, state]));
  }

  /** Replaces all of both. */
  saveShadow(states: ReadonlyMap<string, string>, cursors: ReadonlyMap<string, string>): void {
    this.#inTransaction(() => {
      this.#database.exec("DELETE FROM shadow; DELETE FROM cursors");
      const state = this.#database.prepare("INSERT INTO shadow (flow, state) VALUES (?, ?)");
      for (const [flow, text] of states) state.run(flow, text);
      const cursor = this.#database.prepare("INSERT INTO cursors (name, value) VALUES (?, ?)");
      for (const [name, value] of cursors) cursor.run(name, value);
    });
  }

  close(): void {
    this.#database.close();
  }

  /** Closes it, and nothing of it is left. */
  remove(): void {
    this.close();
    removeStore(this.#file);
  }

  #remove(ids: string, ...values: (string | number)[]): number {
    const gone = this.#database.prepare(`DELETE FROM inputs WHERE id IN (${ids}) RETURNING flow, bytes`).all(...values) as {
      flow: string;
      bytes: number;
    }[];
    for (const { flow, bytes } of gone) {
      this.#counts.set(flow, (this.#counts.get(flow) ?? 0) - 1);
      this.#bytes -= bytes;
    }
    return gone.length;
  }

  #inTransaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

/** For other threads and processes: what lies there now. Undefined: nothing does. */
export function readStore<Result>(file: string, read: (store: RehearsalReader) => Result): Result | undefined {
  if (!existsSync(file)) return undefined;
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  try {
    return read({
      newest: (inputs) => newestShares(database, inputs),
      shadowStates: () => {
        const rows = database.prepare("SELECT flow, state FROM shadow").all() as { flow: string; state: string }[];
        return new Map(rows.map(({ flow, state }) => [flow, state]));
      },
    });
  } finally {
    database.close();
  }
}
export type RehearsalReader = Pick<RehearsalStore, "newest" | "shadowStates">;

export function sizeOf({ connector, origin, body }: RecordedInput): number {
  return body.byteLength + connector.length + ("topic" in origin ? origin.topic.length : 0) + 100;
}

function openDatabase(file: string): DatabaseSync {
  closeSync(openSync(file, "a", 0o600));
  const database = new DatabaseSync(file, { timeout: 1000 });
  try {
    // no flush ever: what a power cut takes is recorded again
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA journal_size_limit = 4194304");
    const { user_version: found } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (found === 0) for (const statement of schema) database.exec(statement);
    else if (found !== version) throw new Error(`the file has version ${found}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

interface Row {
  input: number;
  flow: string;
  connector: string;
  origin: string;
  decoded: string | null;
  body: Uint8Array;
  received_at: number;
  message_id: string | null;
}

function* newestShares(database: DatabaseSync, inputs: number): Generator<RecordedShare> {
  const from = database.prepare("SELECT DISTINCT input FROM inputs ORDER BY input DESC LIMIT 1 OFFSET ?").get(inputs) as
    | { input: number }
    | undefined;
  const page = database.prepare("SELECT * FROM inputs WHERE input > ? AND id > ? ORDER BY id LIMIT 100");
  for (let last = 0; ; ) {
    const rows = page.all(from?.input ?? 0, last) as unknown as (Row & { id: number })[];
    if (rows.length === 0) return;
    for (const row of rows) {
      last = row.id;
      yield {
        input: row.input,
        flow: row.flow,
        recorded: {
          connector: row.connector,
          origin: JSON.parse(row.origin) as RecordedInput["origin"],
          body: row.body,
          ...(row.decoded === null ? {} : { decoded: JSON.parse(row.decoded) as unknown }),
          receivedAt: row.received_at,
          ...(row.message_id === null ? {} : { messageId: row.message_id }),
        },
      };
    }
  }
}
