import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Change, DeadLetter } from "./change.ts";

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

  run(sql: string, ...values: Value[]): { changes: number | bigint } {
    return this.prepare(sql).run(...values);
  }

  get(sql: string, ...values: Value[]): Record<string, unknown> | undefined {
    return this.prepare(sql).get(...values);
  }
}

/** Inside the caller's transaction. */
export function writeDeadLetter(statements: Statements, letter: DeadLetter): void {
  const { id, at, direction, connector, flow = null, place, code, reason, body, attempts } = letter;
  const insert = "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  statements.run(insert, id, at, direction, connector, flow, place, code, reason, body, attempts);
}

/** Inside the caller's transaction: new deliveries, how tried ones stand, and which are done. */
export function writeDeliveries(statements: Statements, change: Change): void {
  for (const row of change.newDeliveries ?? []) {
    const insert = "INSERT INTO deliveries (connector, key, flow, target, line, created_at) VALUES (?, ?, ?, ?, ?, ?)";
    statements.run(insert, row.connector, row.key, row.flow, row.target, row.line, row.createdAt);
  }
  for (const row of change.deliveryUpdates ?? []) {
    const update = "UPDATE deliveries SET state = ?, attempts = ?, reason = ? WHERE id = ?";
    statements.run(update, row.state, row.attempts, row.reason, row.id);
  }
  for (const id of change.doneDeliveries ?? []) statements.run("DELETE FROM deliveries WHERE id = ?", id);
}
