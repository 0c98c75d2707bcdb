import type { DatabaseSync } from "node:sqlite";

/** What a row of format 1 does not have. */
const defaults: Readonly<Record<string, string | number>> = {
  run_at: 0,
  run_ms: 0,
  uptime_ms: 0,
  waited_ms: 0,
  again: 1,
  head: 0,
  failures: 0,
  type: "",
  message_id: "",
};

/** Reads that may fail in all: a file of which nothing reads is given up, one with some damaged places is not. */
const failedReads = 5000;

export interface Carriage {
  readonly old: DatabaseSync;
  readonly db: DatabaseSync;
  readonly from: string;
  readonly to: string;
  /** By which rows are read from both sides of a place that does not read. */
  readonly column: string;
}

interface Carrying extends Carriage {
  readonly take: (row: Row) => boolean;
  left: number;
  whole: boolean;
}
type Row = Record<string, unknown>;

/** Carries rows of a damaged table over, those between two values of an integer column. @returns whether every row could be */
export function carryRange(carriage: Carriage, first: number, last: number): boolean {
  const carrying = { ...carriage, take: inserter(carriage), left: failedReads, whole: true };
  carryBetween(carrying, first, last);
  return carrying.whole;
}

/** Reads a range; where that fails, from its other end, then its halves, down to the place that does not read. */
function carryBetween(carrying: Carrying, from: number, to: number): void {
  const { old, from: table, column } = carrying;
  let reached = from;
  let back = to;
  const scan = (direction: "ASC" | "DESC", note: (value: number) => void): boolean => {
    const query = `SELECT *, ${column} AS carried_by FROM ${table} WHERE ${column} >= ? AND ${column} <= ? ORDER BY ${column} ${direction}`;
    return readEach(
      () => old.prepare(query).iterate(reached, back),
      (row) => {
        if (!carrying.take(row)) carrying.whole = false;
        note(row.carried_by as number);
      },
    );
  };
  if (scan("ASC", (value) => (reached = Math.max(reached, value + 1)))) return;
  carrying.whole = false;
  carrying.left -= 1;
  if (scan("DESC", (value) => (back = Math.min(back, value - 1)))) return;
  const middle = Math.floor((reached + back) / 2);
  if (carrying.left <= 0 || middle <= reached || middle >= back) return;
  carryBetween(carrying, reached, middle);
  carryBetween(carrying, middle + 1, back);
}

/** Carries the rows of a damaged table over, from both ends. @returns whether every row could be */
export function carryAll(carriage: Carriage): boolean {
  const { old, from, column } = carriage;
  const take = inserter(carriage);
  let whole = true;
  const scan = (direction: "ASC" | "DESC"): boolean =>
    readEach(
      () => old.prepare(`SELECT * FROM ${from} ORDER BY ${column} ${direction}`).iterate(),
      (row) => {
        if (!take(row)) whole = false;
      },
    );
  if (scan("ASC")) return whole;
  scan("DESC");
  return false;
}

/** Takes rows until one does not read; what `take` throws is another's failure. @returns whether all of them could be read */
function readEach(open: () => Iterable<Row>, take: (row: Row) => void): boolean {
  let rows: Iterator<Row> | undefined;
  for (;;) {
    let next: IteratorResult<Row>;
    try {
      rows ??= open()[Symbol.iterator]();
      next = rows.next();
    } catch {
      return false;
    }
    if (next.done) return true;
    take(next.value);
  }
}

/** Writes rows of an old table into a new one by the names of their columns; tells whether the row is one that we can have written. */
function inserter({ old, db, from, to }: Carriage): (row: Row) => boolean {
  const columnsOf = (of: DatabaseSync, table: string): string[] => {
    try {
      return of
        .prepare(`PRAGMA table_info(${table})`)
        .all()
        .map(({ name }) => name as string);
    } catch {
      return [];
    }
  };
  const known = new Set(columnsOf(old, from));
  const columns = columnsOf(db, to).filter((column) => known.has(column) || column in defaults);
  const insert = db.prepare(
    `INSERT INTO ${to} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")}) ON CONFLICT DO NOTHING`,
  );
  return (row) => {
    const values = columns.map((column) => (known.has(column) ? row[column] : defaults[column]));
    try {
      // a delivery's message lay as text in format 1
      insert.run(
        ...values.map((value, at) => (columns[at] === "line" && typeof value === "string" ? Buffer.from(value) : value) as never),
      );
      return true;
    } catch (error) {
      // a value of another kind than the column's, or none
      if (isConstraint(error)) return false;
      throw error;
    }
  };
}

/** SQLITE_CONSTRAINT (19) and SQLITE_MISMATCH (20). */
function isConstraint(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" && [19, 20].includes(code & 0xff);
}
