import type { Inputs, Node } from "./expression.ts";
import type { FlowFunction } from "./functions.ts";

export type SyncEvaluator = (inputs: Inputs) => unknown;

/**
 * A JSONata tree as a plain function, where it is a path of names and indexes, a literal, `&`, a function of ours, or an
 * object of these: most keys, topics and maps are. Undefined for any other expression. The result is JSONata's own, sequences included.
 */
export function compileSync(node: Node, functions: readonly FlowFunction[]): SyncEvaluator | undefined {
  switch (node.type) {
    case "string":
    case "number":
    case "value":
      return () => node.value;
    case "path":
      return compilePath(node);
    case "binary": {
      if (node.value !== "&" || !node.lhs || !node.rhs || isPairs(node.lhs)) return undefined;
      const [left, right] = [compileSync(node.lhs, functions), compileSync(node.rhs, functions)];
      return left && right ? (inputs) => textOf(left(inputs)) + textOf(right(inputs)) : undefined;
    }
    case "function": {
      const known = functions.find(({ name }) => node.procedure?.type === "variable" && node.procedure.value === name);
      const args = (node.arguments ?? []).map((argument) => compileSync(argument, functions));
      if (!known || node.procedure === undefined || args.some((argument) => argument === undefined)) return undefined;
      return (inputs) => known.apply(...args.map((argument) => argument?.(inputs)));
    }
    case "unary":
      return compileObject(node, functions);
    default:
      return undefined;
  }
}

/** `{ "name": value }` with names as literals; a value that is nothing leaves its name out. */
function compileObject(node: Node, functions: readonly FlowFunction[]): SyncEvaluator | undefined {
  if (node.value !== "{" || !node.lhs || !isPairs(node.lhs)) return undefined;
  const fields = new Map<string, SyncEvaluator>();
  for (const [key, value] of node.lhs) {
    const evaluator = compileSync(value, functions);
    // a name that is there twice is JSONata's to refuse
    if (key.type !== "string" || key.value === "__proto__" || fields.has(String(key.value)) || !evaluator) return undefined;
    fields.set(String(key.value), evaluator);
  }
  return (inputs) => {
    const object: Record<string, unknown> = {};
    for (const [name, evaluator] of fields) {
      const value = evaluator(inputs);
      if (value !== undefined) object[name] = value;
    }
    return object;
  };
}

function isPairs(lhs: NonNullable<Node["lhs"]>): lhs is readonly (readonly [Node, Node])[] {
  return Array.isArray(lhs);
}

/** As `&` makes text of its operands. */
function textOf(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number") return JSON.stringify(Number(value.toPrecision(15)));
  return (
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "number" ? Number(inner.toPrecision(15)) : inner)) ?? ""
  );
}

interface Step {
  readonly name: string;
  readonly indexes: readonly number[];
}

function compilePath(node: Node): SyncEvaluator | undefined {
  if (node.group || node.keepSingletonArray || !node.steps) return undefined;
  const steps: Step[] = [];
  for (const step of node.steps) {
    if (step.focus !== undefined || step.index !== undefined || step.keepArray) return undefined;
    // `payload` and `$payload` are the same thing where a path begins
    const isName =
      step.type === "name" || (step.type === "variable" && steps.length === 0 && step.value !== "" && step.value !== "$");
    if (!isName || typeof step.value !== "string") return undefined;
    const indexes: number[] = [];
    for (const stage of step.stages ?? []) {
      if (stage.type !== "filter" || stage.expr?.type !== "number" || typeof stage.expr.value !== "number") return undefined;
      indexes.push(Math.floor(stage.expr.value));
    }
    if (step.type === "variable" && (indexes.length > 0 || (step as { predicate?: unknown }).predicate !== undefined))
      return undefined;
    steps.push({ name: step.value, indexes });
  }
  return (inputs) => {
    const direct = walkObjects(inputs, steps);
    return direct === listOnTheWay ? walkSequences(inputs, steps) : direct;
  };
}

const listOnTheWay = Symbol("list on the way");

/** The usual case: objects all the way, an index where there is a list. */
function walkObjects(inputs: Inputs, steps: readonly Step[]): unknown {
  let value: unknown = inputs;
  for (let i = 0; i < steps.length; i++) {
    const { name, indexes } = steps[i] as Step;
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
    for (const index of indexes) {
      if (!Array.isArray(value)) {
        if (index !== 0 && index !== -1) return undefined;
        continue;
      }
      value = value[index < 0 ? value.length + index : index];
      if (Array.isArray(value)) return listOnTheWay;
    }
    if (value === undefined) return undefined;
    if (Array.isArray(value) && i < steps.length - 1) return listOnTheWay;
  }
  return value;
}

/** Results of a step, as JSONata keeps them: a sequence of one is its element, an empty one is nothing. */
class Sequence {
  readonly items: unknown[];
  constructor(items: unknown[]) {
    this.items = items;
  }
}

function walkSequences(inputs: Inputs, steps: readonly Step[]): unknown {
  let current: unknown = new Sequence([inputs]);
  for (let i = 0; i < steps.length; i++) {
    const { name, indexes } = steps[i] as Step;
    const results: unknown[] = [];
    for (const item of itemsOf(current)) {
      let value = settle(lookup(item, name));
      for (const index of indexes) value = pick(value, index);
      if (value !== undefined) results.push(value);
    }
    const only = results[0];
    if (i === steps.length - 1 && results.length === 1 && Array.isArray(only)) current = only;
    else
      current = new Sequence(
        results.flatMap((value) =>
          Array.isArray(value) ? (value as unknown[]) : value instanceof Sequence ? value.items : [value],
        ),
      );
    if (itemsOf(current).length === 0) break;
  }
  const settled = settle(current);
  return settled instanceof Sequence ? settled.items : settled;
}

function itemsOf(value: unknown): readonly unknown[] {
  return value instanceof Sequence ? value.items : (value as readonly unknown[]);
}

function settle(value: unknown): unknown {
  if (!(value instanceof Sequence) || value.items.length > 1) return value;
  return value.items[0];
}

function lookup(value: unknown, name: string): unknown {
  if (Array.isArray(value)) {
    const found: unknown[] = [];
    for (const item of value) {
      const inner = lookup(item, name);
      if (inner instanceof Sequence) for (const each of inner.items) found.push(each);
      else if (Array.isArray(inner)) for (const each of inner) found.push(each);
      else if (inner !== undefined) found.push(inner);
    }
    return new Sequence(found);
  }
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function pick(value: unknown, index: number): unknown {
  const list = value instanceof Sequence ? value.items : Array.isArray(value) ? (value as unknown[]) : [value];
  const item = list[index < 0 ? list.length + index : index];
  if (Array.isArray(item)) return item;
  return new Sequence(item === undefined ? [] : [item]);
}
