import jsonata from "jsonata";
import type { FlowFunction } from "./functions.ts";
import { compileSync, type SyncEvaluator } from "./sync-expression.ts";

/** What an expression can name at its root; which of them it may depends on where it stands. */
export const inputNames = ["payload", "line", "topic", "data", "message"] as const;
export type InputName = (typeof inputNames)[number];
export type Inputs = { readonly [Name in InputName]?: unknown };

/** A node of JSONata's syntax tree, as far as we read it. */
export interface Node {
  readonly type: string;
  readonly value?: unknown;
  /** Offset behind the node's first token. */
  readonly position?: number;
  readonly steps?: readonly Node[];
  readonly stages?: readonly { readonly type: string; readonly expr?: Node; readonly value?: unknown }[];
  readonly expressions?: readonly Node[];
  readonly arguments?: readonly Node[];
  readonly procedure?: Node;
  readonly body?: Node;
  readonly lhs?: Node | readonly (readonly [Node, Node])[];
  readonly rhs?: Node;
  readonly group?: { readonly lhs: readonly (readonly [Node, Node])[] };
  readonly terms?: readonly { readonly expression: Node }[];
  readonly expression?: Node;
  readonly condition?: Node;
  readonly then?: Node;
  readonly else?: Node;
  readonly pattern?: Node;
  readonly update?: Node;
  readonly delete?: Node;
  readonly focus?: string;
  readonly index?: string;
  readonly keepArray?: boolean;
  readonly keepSingletonArray?: boolean;
  readonly consarray?: boolean;
}

/** Bounds of an evaluation that runs where nobody can end it; a gateway's worker is ended from outside and needs none. */
export interface EvaluationLimits {
  readonly timeoutMs: number;
  readonly sequence: number;
}

export interface Expression {
  readonly text: string;
  readonly ast: Node;
  /** Without a step in between, where the expression is made of paths, literals, `&`, objects and our functions: the same result, much faster. */
  readonly sync?: SyncEvaluator;
  evaluate(inputs: Inputs): unknown;
}

/** An expression that is not JSONata: what is wrong, and at which character. */
export class ExpressionError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Depth of evaluation, and of the tree: what walks it recurses. */
const maxDepth = 500;
const maxNesting = 1000;

/** @throws ExpressionError */
export function compileExpression(text: string, functions: readonly FlowFunction[], limits?: EvaluationLimits): Expression {
  let compiled: jsonata.Expression;
  try {
    compiled = jsonata(
      text,
      limits ? { stack: maxDepth, timeout: limits.timeoutMs, sequence: limits.sequence } : { stack: maxDepth },
    );
  } catch (error) {
    const { message, position, token } = error as { message?: string; position?: number; token?: string };
    const length = token === undefined || token === "(end)" ? 0 : token.length;
    throw new ExpressionError(message ?? "not a JSONata expression", Math.max(0, (position ?? 0) - length));
  }
  for (const { name, apply } of functions) compiled.registerFunction(name, (...args: unknown[]) => apply(...args));
  const ast = compiled.ast() as unknown as Node;
  if (nestsTooDeep(ast)) throw new ExpressionError(`the expression is nested more than ${maxNesting} deep`, 0);
  const sync = compileSync(ast, functions);
  return {
    text,
    ast,
    ...(sync === undefined ? {} : { sync }),
    evaluate: sync ?? ((inputs) => compiled.evaluate(inputs, inputs)),
  };
}

/** Without recursion, as it guards those who recurse. */
function nestsTooDeep(ast: Node): boolean {
  let level: unknown[] = [ast];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxNesting) return true;
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
  return false;
}
