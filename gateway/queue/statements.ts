import type { DatabaseSync, StatementSync } from "node:sqlite";

type Value = string | number | null | Uint8Array;

/** Statements of one handle, each compiled once. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #known = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  prepare(sql: string): StatementSync {
    let statement = this.#known.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#known.set(sql, statement);
    }
    return statement;
  }

  run(sql: string, ...values: Value[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.prepare(sql).run(...values);
  }

  get(sql: string, ...values: Value[]): Record<string, unknown> | undefined {
    return this.prepare(sql).get(...values);
  }

  all(sql: string, ...values: Value[]): Record<string, unknown>[] {
    return this.prepare(sql).all(...values);
  }
}
