import { sql } from "kysely";
import { isPostgres } from "./dialect.ts";
import { isOutage, type Storage, type StorageTransaction } from "./storage.ts";

type Change<Value> = (tx: StorageTransaction) => Promise<Value>;
interface Waiting {
  readonly change: Change<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Changes of one transaction at most: a few milliseconds of the one connection. */
const maxChanges = 64;

/**
 * Small changes, such as sessions that begin and status reports: on SQLite those that wait together share one transaction and one flush,
 * each undone by itself when it fails, so that two hundred plants that return at once cost a few flushes. On PostgreSQL each has its own:
 * there flushes are shared anyway, and rows that a shared transaction locks in any order could lock out another replica's.
 */
export class SharedCommits {
  readonly #storage: Storage;
  #waiting: Waiting[] = [];
  #working = false;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Resolves once the change is flushed. @throws what the change throws, or what stands against the transaction */
  run<Value>(change: Change<Value>): Promise<Value> {
    if (isPostgres(this.#storage)) return this.#storage.transaction().execute(change);
    return new Promise<Value>((resolve, reject) => {
      this.#waiting.push({ change, resolve: resolve as (value: unknown) => void, reject });
      if (this.#working) return;
      this.#working = true;
      // all that the sockets hold now comes first
      setImmediate(() => this.#work());
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, maxChanges);
      try {
        const settled = await this.#storage.transaction().execute((tx) => makeAll(tx, group));
        for (const settle of settled) settle();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      if (this.#waiting.length > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.#working = false;
  }
}

async function makeAll(tx: StorageTransaction, group: readonly Waiting[]): Promise<(() => void)[]> {
  const settled: (() => void)[] = [];
  for (const { change, resolve, reject } of group) {
    await sql`SAVEPOINT change`.execute(tx);
    try {
      const value = await change(tx);
      settled.push(() => resolve(value));
    } catch (error) {
      // the storage may have ended the whole transaction by itself
      if (isOutage(error)) throw error;
      await sql`ROLLBACK TO change`.execute(tx);
      settled.push(() => reject(error));
    }
    await sql`RELEASE change`.execute(tx);
  }
  return settled;
}
