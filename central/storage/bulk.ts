import { CompiledQuery } from "kysely";
import { isPostgres } from "./dialect.ts";
import type { Schema } from "./schema.ts";
import type { StorageTransaction } from "./storage.ts";

type Table = keyof Schema;
type Row<Name extends Table> = { readonly [Column in keyof Schema[Name]]: Schema[Name][Column] };

/** Rows of one statement: SQLite takes 32,766 values a statement, and equal texts are compiled once. */
const rowsPerStatement = 200;
const texts = new Map<string, string>();

/**
 * Inserts many rows by a few statements whose texts repeat. Where thousands of rows a second are written, building each statement anew
 * costs more than running it.
 * @param columns the rows' keys, in any order
 * @param ending what comes after the values, such as ON CONFLICT and RETURNING
 */
export async function insertRows<Name extends Table, Returned = never>(
  tx: StorageTransaction,
  table: Name,
  columns: readonly (keyof Schema[Name] & string)[],
  rows: readonly Row<Name>[],
  ending = "",
): Promise<Returned[]> {
  const returned: Returned[] = [];
  for (let at = 0; at < rows.length; at += rowsPerStatement) {
    const part = rows.slice(at, at + rowsPerStatement);
    const values: unknown[] = [];
    for (const row of part) for (const column of columns) values.push(row[column]);
    const text = statementText(table, columns, part.length, ending, isPostgres(tx));
    const result = await tx.executeQuery<Returned>(CompiledQuery.raw(text, values));
    returned.push(...result.rows);
  }
  return returned;
}

function statementText(table: string, columns: readonly string[], rows: number, ending: string, numbered: boolean): string {
  const key = `${numbered} ${rows} ${table} ${columns.join()} ${ending}`;
  let text = texts.get(key);
  if (text === undefined) {
    let place = 0;
    const row = (): string => `(${columns.map(() => (numbered ? `$${++place}` : "?")).join(", ")})`;
    const values = Array.from({ length: rows }, row).join(", ");
    text = `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${values} ${ending}`;
    texts.set(key, text);
  }
  return text;
}
