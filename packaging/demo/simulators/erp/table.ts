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
    let inOrder = true;
    let last = 0;
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (!row) continue;
      rows.push(row);
      if (id < last) inOrder = false;
      last = id;
    }
    return inOrder ? rows : rows.sort((a, b) => a.id - b.id);
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
    const after: Record<string, unknown> = {};
    const current = row as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(patch)) {
      if (value === undefined || same(current[field], value)) continue;
      before[field] = current[field];
      after[field] = value;
    }
    if (Object.keys(after).length === 0 && !touch) return;
    before.write_date = row.write_date;
    after.write_date = this.#transaction.now;
    this.#refile(row, after);
    this.#transaction.undo.push(() => this.#refile(row, before));
  }

  remove(row: R): void {
    this.#unfile(row);
    this.#rows.delete(row.id);
    this.#transaction.undo.push(() => {
      this.#rows.set(row.id, row);
      this.#file(row);
    });
  }

  /** Only indexes whose key changes are touched. */
  #refile(row: R, values: object): void {
    const keys = [...this.#indexes.values()].map((index) => index.keyOf(row));
    Object.assign(row, values);
    for (const [at, index] of [...this.#indexes.values()].entries()) {
      const [before, after] = [keys[at] as Key, index.keyOf(row)];
      if (before === after) continue;
      const filed = index.ids.get(before);
      filed?.delete(row.id);
      if (filed?.size === 0) index.ids.delete(before);
      const now = index.ids.get(after);
      if (now) now.add(row.id);
      else index.ids.set(after, new Set([row.id]));
    }
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
