import type { Database } from "./database.ts";
import { notFound, valueError } from "./fault.ts";
import { type Field, findField, modelOf, titleOf } from "./schema.ts";
import type { Row, Table, Value } from "./table.ts";

/** A domain as it came in: `[field, operator, value]` leaves with prefix operators; leaves without one are joined by "and". */
export type Domain = readonly unknown[];
type Node =
  | { readonly kind: "leaf"; readonly leaf: Leaf }
  | { readonly kind: "and" | "or"; readonly parts: readonly Node[] }
  | { readonly kind: "not"; readonly part: Node };
interface Leaf {
  readonly path: readonly string[];
  readonly operator: string;
  readonly value: unknown;
}

export function tableOf(db: Database, model: string): Table<Row> {
  const table = db.byModel.get(model);
  if (!table) throw notFound(`the model '${model}' does not exist`);
  return table;
}

/** What a field of a row holds inside: a many2one's bare id, a datetime's UTC ms. */
export function fieldValue(db: Database, model: string, row: Row, name: string): Value {
  const field = findField(model, name);
  if (!field) throw valueError(`Invalid field '${name}' on '${model}'`);
  if (name === "display_name") return titleOf(db, model, row);
  if (field.compute) return field.compute(db, row);
  if (field.kind === "one2many") return childrenOf(db, model, row, field).map((child) => child.id);
  return (row as unknown as Record<string, Value>)[name] ?? false;
}

/** The rows of a one2many; those of the chatter share their table among models. */
export function childrenOf(db: Database, model: string, row: Row, field: Extract<Field, { kind: "one2many" }>): Row[] {
  const rows = tableOf(db, field.relation).where(field.inverse, row.id);
  return field.relation === "mail.message"
    ? rows.filter((child) => (child as unknown as { model: string }).model === model)
    : rows;
}

export interface SearchOptions {
  readonly order?: string | undefined;
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
  readonly withArchived?: boolean | undefined;
}

/** The rows that match, in order. An indexed leaf narrows what is looked at; nothing else is scanned on hot calls. */
export function search(db: Database, model: string, domain: Domain, options: SearchOptions = {}): Row[] {
  const tree = parseDomain(domain);
  checkPaths(model, tree);
  const hidesArchived = findField(model, "active") !== undefined && options.withArchived !== true && !mentions(tree, "active");
  const rows: Row[] = [];
  for (const row of narrow(db, model, tree) ?? tableOf(db, model).all()) {
    if (hidesArchived && fieldValue(db, model, row, "active") === false) continue;
    if (matches(db, model, row, tree)) rows.push(row);
  }
  sortRows(db, model, rows, options.order || modelOf(model).order);
  const offset = options.offset ?? 0;
  return rows.slice(offset, options.limit ? offset + options.limit : undefined);
}

function parseDomain(domain: Domain): Node {
  let at = 0;
  const next = (): Node => {
    const item = domain[at++];
    if (item === undefined) throw valueError("Domain() invalid domain: missing operand");
    if (item === "|" || item === "&") return { kind: item === "|" ? "or" : "and", parts: [next(), next()] };
    if (item === "!") return { kind: "not", part: next() };
    if (!Array.isArray(item) || item.length !== 3) throw valueError(`Domain() invalid item in domain: ${JSON.stringify(item)}`);
    const [path, operator, value] = item as [unknown, unknown, unknown];
    return { kind: "leaf", leaf: { path: String(path).split("."), operator: String(operator).toLowerCase(), value } };
  };
  const parts: Node[] = [];
  while (at < domain.length) parts.push(next());
  // what one row answers by itself is looked at before what leads to other records
  return { kind: "and", parts: parts.sort((a, b) => costOf(a) - costOf(b)) };
}

function costOf(node: Node): number {
  return node.kind === "leaf" ? node.leaf.path.length : 9;
}

function checkPaths(model: string, node: Node): void {
  if (node.kind !== "leaf") {
    for (const part of node.kind === "not" ? [node.part] : node.parts) checkPaths(model, part);
    return;
  }
  let at = model;
  for (const [depth, name] of node.leaf.path.entries()) {
    const field = findField(at, name);
    const last = depth === node.leaf.path.length - 1;
    if (!field || (!last && !("relation" in field))) {
      const { path, operator, value } = node.leaf;
      throw valueError(
        `Invalid field ${model}.${path.join(".")} in condition ('${path.join(".")}', '${operator}', ${JSON.stringify(value)})`,
      );
    }
    // a date is parsed even where no row is compared with it
    if (last && field.kind === "datetime")
      for (const value of listed(node.leaf.value)) if (typeof value === "string") parseDomainDate(value);
    if ("relation" in field) at = field.relation;
  }
}

function mentions(node: Node, name: string): boolean {
  if (node.kind === "leaf") return node.leaf.path[0] === name;
  return node.kind === "not" ? mentions(node.part, name) : node.parts.some((part) => mentions(part, name));
}

/** The smallest set of rows that an index gives for this condition; undefined when all have to be looked at. */
function narrow(db: Database, model: string, node: Node): Row[] | undefined {
  if (node.kind === "leaf") return narrowLeaf(db, model, node.leaf);
  if (node.kind !== "and") return undefined;
  let best: Row[] | undefined;
  for (const part of node.parts) {
    const rows = narrow(db, model, part);
    if (rows && (!best || rows.length < best.length)) best = rows;
  }
  return best;
}

function narrowLeaf(db: Database, model: string, { path, operator, value }: Leaf): Row[] | undefined {
  if (operator !== "=" && operator !== "in") return undefined;
  const table = tableOf(db, model);
  const [name, ...rest] = path as [string, ...string[]];
  const field = findField(model, name);
  if (!field || (name !== "id" && !table.hasIndex(name))) return undefined;
  let keys = listed(value);
  if (rest.length > 0) {
    if (field.kind !== "many2one") return undefined;
    const related = narrowLeaf(db, field.relation, { path: rest, operator, value });
    if (!related) return undefined;
    keys = related.map((row) => row.id);
  } else if (field.kind === "many2one" && keys.some((key) => typeof key === "string")) {
    return undefined;
  }
  const rows: Row[] = [];
  for (const key of new Set(keys)) {
    if (name === "id") {
      const row = typeof key === "number" ? table.find(key) : undefined;
      if (row) rows.push(row);
    } else if (typeof key === "string" || typeof key === "number" || typeof key === "boolean") {
      rows.push(...table.where(name, key));
    }
  }
  return rows;
}

function matches(db: Database, model: string, row: Row, node: Node): boolean {
  if (node.kind === "leaf") return matchesLeaf(db, model, row, node.leaf.path, node.leaf);
  if (node.kind === "not") return !matches(db, model, row, node.part);
  return node.kind === "and"
    ? node.parts.every((part) => matches(db, model, row, part))
    : node.parts.some((part) => matches(db, model, row, part));
}

function matchesLeaf(db: Database, model: string, row: Row, path: readonly string[], leaf: Leaf): boolean {
  const [name, ...rest] = path as [string, ...string[]];
  const field = findField(model, name);
  if (!field) return false;
  const value = fieldValue(db, model, row, name);
  if (rest.length > 0 && "relation" in field) {
    const ids = Array.isArray(value) ? (value as readonly number[]) : typeof value === "number" ? [value] : [];
    const related = ids.map((id) => tableOf(db, field.relation).find(id));
    return related.some((other) => other !== undefined && matchesLeaf(db, field.relation, other, rest, leaf));
  }
  return compare(db, field, value, leaf);
}

function compare(db: Database, field: Field, value: Value, { operator, value: wanted }: Leaf): boolean {
  if (operator === "!=") return !compare(db, field, value, { path: [], operator: "=", value: wanted });
  if (operator === "not in") return !compare(db, field, value, { path: [], operator: "in", value: wanted });
  if (operator === "not ilike" || operator === "not like")
    return !compare(db, field, value, { path: [], operator: operator.slice(4), value: wanted });
  if (Array.isArray(value)) {
    const held = value as readonly number[];
    if (wanted === false) return held.length === 0;
    return listed(wanted).some((one) => (one === false ? held.length === 0 : held.includes(one as number)));
  }
  if (operator === "child_of") return listed(wanted).some((top) => isWithin(db, value, top));
  const named = field.kind === "many2one" && typeof wanted === "string" ? nameOf(db, field.relation, value) : value;
  const have = field.kind === "datetime" && typeof named === "number" ? Math.floor(named / 1000) : named;
  const want = (one: unknown): unknown => (field.kind === "datetime" && typeof one === "string" ? parseDomainDate(one) : one);
  switch (operator) {
    case "=":
      return have === (want(wanted) ?? false);
    case "in":
      return listed(wanted).some((one) => have === (want(one) ?? false));
    case "<":
    case "<=":
    case ">":
    case ">=":
      return have !== false && ordered(have, want(wanted), operator);
    case "like":
    case "ilike":
    case "=like":
    case "=ilike":
      return typeof have === "string" && pattern(String(wanted), operator).test(have);
    default:
      throw valueError(`Invalid operator '${operator}' in domain`);
  }
}

function ordered(a: unknown, b: unknown, operator: "<" | "<=" | ">" | ">="): boolean {
  const order =
    typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
  return operator === "<" ? order < 0 : operator === "<=" ? order <= 0 : operator === ">" ? order > 0 : order >= 0;
}

function pattern(text: string, operator: string): RegExp {
  const escaped = text
    .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replaceAll("%", ".*")
    .replaceAll("_", ".");
  return new RegExp(operator.startsWith("=") ? `^${escaped}$` : escaped, operator.endsWith("ilike") ? "is" : "s");
}

function nameOf(db: Database, relation: string, id: Value): string | false {
  const row = typeof id === "number" ? tableOf(db, relation).find(id) : undefined;
  return row ? titleOf(db, relation, row) : false;
}

/** Locations know their parents by their path. */
function isWithin(db: Database, location: Value, top: unknown): boolean {
  if (typeof location !== "number" || typeof top !== "number") return false;
  const path = db.locations.find(location)?.complete_name;
  const above = db.locations.find(top)?.complete_name;
  return path !== undefined && above !== undefined && (path === above || path.startsWith(`${above}/`));
}

/** Whole seconds: fractions are dropped. A `T` passes here, a zone does not. */
function parseDomainDate(text: string): number {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/.exec(text);
  if (match?.[3] !== undefined) throw valueError(`expecting only datetimes with no timezone: '${text}'`);
  const ms = match ? Date.parse(`${match[1]}T${match[2] ?? "00:00:00"}Z`) : Number.NaN;
  if (Number.isNaN(ms)) throw valueError(`Invalid isoformat string: '${text}'`);
  return Math.floor(ms / 1000);
}

function listed(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function sortRows(db: Database, model: string, rows: Row[], order: string): void {
  const terms = order.split(",").map((term) => {
    const [name = "", direction = "asc"] = term.trim().split(/\s+/);
    if (!findField(model, name)) throw valueError(`Invalid field '${name}' on model '${model}'`);
    return { name, sign: direction.toLowerCase() === "desc" ? -1 : 1 };
  });
  if (rows.length < 2) return;
  const keyed = rows.map((row) => ({ row, keys: terms.map(({ name }) => fieldValue(db, model, row, name)) }));
  keyed.sort((a, b) => {
    for (const [at, { sign }] of terms.entries()) {
      const [left, right] = [a.keys[at] ?? false, b.keys[at] ?? false];
      if (left === right) continue;
      // empty sorts last, as NULL does in PostgreSQL
      if (left === false && typeof right !== "boolean") return sign;
      if (right === false && typeof left !== "boolean") return -sign;
      return (left < right ? -1 : 1) * sign;
    }
    return a.row.id - b.row.id;
  });
  for (const [at, { row }] of keyed.entries()) rows[at] = row;
}
