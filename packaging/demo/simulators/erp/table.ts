import { missingError } from "./fault.ts";

/** A stored value: `false` is Odoo's empty of any type; many2one is the bare id, many2many a list of ids, a datetime UTC ms. */
export type Value = string | number | boolean | readonly number[];

export interface Row {
  readonly id: number;
  create_date: number;
  /** Start of the transaction that wrote the row last. */
  write_date: number;
}

type Key = string | number | boolean;

/** What the tables of one database share: the time of the running transaction, and how to take back what it did. */
export interface Transaction {
  now: number;
  undo: (() => void)[];
}

/**
 * The records of one model by id, with indexes for the lookups of hot calls. Every change notes its reverse in the running
 * transaction, so that a failing call leaves nothing behind.
 */
export class Table<R extends Row> {
  readonly model: string;
  readonly #rows = new Map<number, R>();
  readonly #indexes = new Map<string, { readonly keyOf: (row: R) => Key; readonly ids: Map<Key, Set<number>> }>();
  readonly #transaction: Transaction;
  #lastId = 0;

  /** `indexes`: a name (the field's, where it indexes a field) to the key of a row. */
  constructor(model: string, transaction: Transaction, indexes: Record<string, (row: R) => Key> = {}) {
    this.model = model;
    this.#transaction = transaction;
    for (const [name, keyOf] of Object.entries(indexes)) this.#indexes.set(name, { keyOf, ids: new Map() });
  }

  find(id: number): R | undefined {
    return this.#rows.get(id);
  }

  get(id: number): R {
    const row = this.#rows.get(id);
    if (!row) throw missingError(this.model, id);
    return row;
  }

  all(): Iterable<R> {
    return this.#rows.values();
  }

  get size(): number {
    return this.#rows.size;
  }

  hasIndex(name: string): boolean {
    return this.#indexes.has(name);
  }

  /** Rows with this key, by id. */
  where(name: string, key: Key): R[] {
    const ids = this.#indexes.get(name)?.ids.get(key);
    if (!ids) return [];
    const rows: R[] = [];
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (row) rows.push(row);
    }
    return rows.sort((a, b) => a.id - b.id);
  }

  insert(values: Omit<R, keyof Row>): R {
    // ids are not given back by a failed transaction, as with a database sequence
    const now = this.#transaction.now;
    const row = { ...values, id: ++this.#lastId, create_date: now, write_date: now } as R;
    this.#rows.set(row.id, row);
    this.#file(row);
    this.#transaction.undo.push(() => {
      this.#unfile(row);
      this.#rows.delete(row.id);
    });
    return row;
  }

  /** Changes a row; `write_date` moves only when something changed, or with `touch`. */
  update(row: R, patch: Partial<Omit<R, keyof Row>>, touch = false): void {
    const before: Record<string, unknown> = {};
    const current = row as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(patch)) {
      if (value !== undefined && !same(current[field], value)) before[field] = current[field];
    }
    const changed = Object.keys(before);
    if (changed.length === 0 && !touch) return;
    before.write_date = row.write_date;
    this.#unfile(row);
    for (const field of changed) current[field] = (patch as Record<string, unknown>)[field];
    row.write_date = this.#transaction.now;
    this.#file(row);
    this.#transaction.undo.push(() => {
      this.#unfile(row);
      Object.assign(row, before);
      this.#file(row);
    });
  }

  remove(row: R): void {
    this.#unfile(row);
    this.#rows.delete(row.id);
    this.#transaction.undo.push(() => {
      this.#rows.set(row.id, row);
      this.#file(row);
    });
  }

  #file(row: R): void {
    for (const { keyOf, ids } of this.#indexes.values()) {
      const key = keyOf(row);
      const filed = ids.get(key);
      if (filed) filed.add(row.id);
      else ids.set(key, new Set([row.id]));
    }
  }

  #unfile(row: R): void {
    for (const { keyOf, ids } of this.#indexes.values()) {
      const key = keyOf(row);
      const filed = ids.get(key);
      filed?.delete(row.id);
      if (filed?.size === 0) ids.delete(key);
    }
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, at) => item === b[at]);
  return a === b;
}
