import type { Database } from "./database.ts";
import { valueError } from "./fault.ts";
import { round } from "./quantity.ts";
import { fieldValue, tableOf } from "./query.ts";
import { fieldOf, modelOf, titleOf } from "./schema.ts";
import type { Row, Value } from "./table.ts";

/** Naive UTC with whole seconds, as the API writes every datetime. */
export function toErpDate(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace("T", " ");
}

/**
 * The rows as `read` answers them: a many2one as `[id, name]` (as the bare id with `load: null`), empty as `false`, never null.
 * @throws ErpFault 500 ValueError for an unknown or dotted field
 */
export function readRows(
  db: Database,
  model: string,
  rows: readonly Row[],
  fields: readonly string[] | undefined,
  load: unknown,
): Record<string, unknown>[] {
  const names =
    fields && fields.length > 0
      ? fields
      : ["id", "display_name", "create_date", "write_date", ...Object.keys(modelOf(model).fields)];
  for (const name of names) fieldOf(model, name);
  return rows.map((row) => {
    const answer: Record<string, unknown> = { id: row.id };
    for (const name of names) answer[name] = present(db, model, row, name, load === undefined || load === "_classic_read");
    return answer;
  });
}

/** `web_search_read`'s nested form: sub-records as objects. */
export function readSpecified(
  db: Database,
  model: string,
  row: Row,
  specification: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const answer: Record<string, unknown> = { id: row.id };
  for (const [name, wanted] of Object.entries(specification)) {
    const field = fieldOf(model, name);
    const inner =
      typeof wanted === "object" && wanted !== null && "fields" in wanted
        ? (wanted.fields as Record<string, unknown>)
        : undefined;
    if (!inner || !("relation" in field)) {
      answer[name] = present(db, model, row, name, false);
      continue;
    }
    const nested = (id: number) => readSpecified(db, field.relation, tableOf(db, field.relation).get(id), inner);
    const value = fieldValue(db, model, row, name);
    answer[name] = Array.isArray(value) ? (value as number[]).map(nested) : typeof value === "number" ? nested(value) : false;
  }
  return answer;
}

function present(db: Database, model: string, row: Row, name: string, named: boolean): unknown {
  const field = fieldOf(model, name);
  const value = fieldValue(db, model, row, name);
  if (field.kind === "datetime") return typeof value === "number" ? toErpDate(value) : false;
  if (field.kind !== "many2one" || !named || typeof value !== "number") return value;
  const related = tableOf(db, field.relation).find(value);
  return related ? [value, titleOf(db, field.relation, related)] : false;
}

/**
 * A value of a create or write as it is stored.
 * @throws ErpFault 500 ValueError for a bad selection or a date that is not naive UTC
 */
export function toStored(db: Database, model: string, name: string, value: unknown): Value {
  const field = fieldOf(model, name);
  if (value === null || value === undefined || value === false) {
    return field.kind === "float" || field.kind === "integer" ? 0 : field.kind === "many2many" ? [] : false;
  }
  switch (field.kind) {
    case "char":
      return String(value);
    case "boolean":
      return Boolean(value);
    case "integer":
      return Math.trunc(toNumber(value));
    case "float":
      return round(toNumber(value));
    case "datetime":
      return parseWritten(String(value));
    case "selection":
      if (!field.options.includes(String(value))) throw valueError(`Wrong value for ${model}.${name}: '${String(value)}'`);
      return String(value);
    case "many2one": {
      const id = Array.isArray(value) ? toNumber(value[0]) : toNumber(value);
      tableOf(db, field.relation).get(id);
      return id;
    }
    case "many2many":
    case "one2many":
      throw valueError(`Wrong value for ${model}.${name}: ${JSON.stringify(value)}`);
  }
}

function toNumber(value: unknown): number {
  const number = typeof value === "number" || typeof value === "string" ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw valueError(`could not convert string to float: '${String(value)}'`);
  return number;
}

function parseWritten(text: string): number {
  const match = /^(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2}:\d{2}))?$/.exec(text);
  const at = match ? Date.parse(`${match[1]}T${match[2] ?? "00:00:00"}Z`) : Number.NaN;
  if (Number.isNaN(at)) throw valueError(`time data '${text}' does not match format '%Y-%m-%d %H:%M:%S'`);
  return at;
}
