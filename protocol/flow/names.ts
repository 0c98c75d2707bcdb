import { z } from "zod";
import { type InputName, inputNames, type Node } from "./expression.ts";
import type { FlowFunction } from "./functions.ts";
import { didYouMean, misspelt } from "./suggest.ts";

/** What is wrong in an expression, and at which character. */
export interface ExpressionProblem {
  readonly offset: number;
  readonly message: string;
}

/** Where an expression stands decides what it can name. `shapes`: schemas of inputs whose fields are known. */
export interface Scope {
  readonly names: readonly InputName[];
  readonly functions: readonly FlowFunction[];
  readonly shapes?: Readonly<Partial<Record<InputName, z.ZodType>>>;
}

const builtIn = new Set(
  `sum count max min average string substring substringBefore substringAfter lowercase uppercase length trim pad match contains
   replace split join formatNumber formatBase formatInteger parseInteger number floor ceil round abs sqrt power boolean not map zip
   filter single reduce sift keys lookup append exists spread merge reverse each error assert type sort distinct base64encode
   base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl toMillis fromMillis clone`.split(/\s+/),
);

/** A mapping gives the same result for the same input, or a replay would differ from the first run. */
const refused: Readonly<Record<string, string>> = {
  now: "the time of evaluation is not part of the input",
  millis: "the time of evaluation is not part of the input",
  random: "a mapping has to give the same result for the same input",
  shuffle: "a mapping has to give the same result for the same input",
  eval: "an expression that is made at run time cannot be judged before",
};

/** Names that the expression uses at its root and that nobody binds there; fields that a known input does not have. */
export function checkNames(ast: Node, scope: Scope): ExpressionProblem[] {
  const problems: ExpressionProblem[] = [];
  const bound = new Set<string>();
  collectBound(ast, bound);
  const known = new Set<string>(scope.names);

  const unknownName = (node: Node, name: string): void => {
    const elsewhere = (inputNames as readonly string[]).includes(name);
    const hint = elsewhere
      ? `; it is not known here, only ${scope.names.join(", ")}`
      : didYouMean(name, [...scope.names]) || `; known here: ${scope.names.join(", ")}`;
    problems.push({ offset: startOf(node, name), message: `unknown name "${name}"${hint}` });
  };
  const variable = (node: Node, called: boolean): void => {
    const name = String(node.value);
    if (name === "" || name === "$" || bound.has(name) || known.has(name) || builtIn.has(name)) return;
    if (scope.functions.some((entry) => entry.name === name)) return;
    const reason = Object.hasOwn(refused, name) ? refused[name] : undefined;
    const candidates = [
      ...(called ? [] : [...known, ...bound]),
      ...scope.functions.map((entry) => entry.name),
      ...(called ? [...builtIn, ...bound] : []),
    ];
    problems.push({
      offset: startOf(node, `$${name}`),
      message: reason
        ? `$${name} may not be used: ${reason}`
        : `unknown ${called ? "function" : "variable"} "$${name}"${didYouMean(name, candidates).replace('"', '"$')}`,
    });
  };
  const path = (node: Node, atRoot: boolean): void => {
    const steps = node.steps ?? [];
    const first = steps[0];
    if (first) {
      const inputName = first.type === "variable" ? String(first.value) : String(first.value);
      const isRoot = first.type === "variable" ? known.has(inputName) && !bound.has(inputName) : atRoot && first.type === "name";
      if (first.type === "name" && atRoot && !known.has(inputName)) unknownName(first, inputName);
      else if (isRoot) fields(steps, scope.shapes?.[inputName as InputName], inputName);
    }
    steps.forEach((step, index) => {
      if (step.type !== "name") visit(step, atRoot && index === 0);
      for (const stage of step.stages ?? []) visit(stage.expr, false);
      for (const stage of (step as { predicate?: { expr?: Node }[] }).predicate ?? []) visit(stage.expr, false);
      groups(step);
    });
    groups(node);
  };
  const fields = (steps: readonly Node[], shape: z.ZodType | undefined, inputName: string): void => {
    let schema = shape;
    let said = inputName;
    for (const step of steps.slice(1)) {
      const fieldsOf = schema && objectShape(schema);
      if (!fieldsOf || step.type !== "name") return;
      const name = String(step.value);
      if (!Object.hasOwn(fieldsOf, name)) {
        problems.push({
          offset: startOf(step, name),
          message: `${said} has no field "${name}"${didYouMean(name, Object.keys(fieldsOf))}`,
        });
        return;
      }
      said += `.${name}`;
      schema = fieldsOf[name];
    }
  };
  const groups = (node: Node): void => {
    for (const [key, value] of node.group?.lhs ?? []) {
      visit(key, false);
      visit(value, false);
    }
  };
  const visit = (node: Node | undefined, atRoot: boolean): void => {
    if (!node) return;
    if (node.type === "path") {
      path(node, atRoot);
      return;
    }
    if (node.type === "name" && atRoot && !known.has(String(node.value))) unknownName(node, String(node.value));
    if (node.type === "variable") variable(node, false);
    if (node.type === "function" || node.type === "partial") {
      if (node.procedure?.type === "variable") variable(node.procedure, true);
      else visit(node.procedure, atRoot);
    }
    for (const argument of node.type === "lambda" ? [] : (node.arguments ?? [])) visit(argument, atRoot);
    for (const expression of node.expressions ?? []) visit(expression, atRoot);
    if (Array.isArray(node.lhs)) {
      for (const [key, value] of node.lhs as readonly (readonly [Node, Node])[]) {
        visit(key, atRoot);
        visit(value, atRoot);
      }
    } else if (node.type !== "bind") visit(node.lhs as Node | undefined, atRoot);
    visit(node.rhs, atRoot);
    for (const inner of [node.body, node.expression, node.condition, node.then, node.else]) visit(inner, atRoot);
    for (const inner of [node.pattern, node.update, node.delete]) visit(inner, false);
    for (const term of node.terms ?? []) visit(term.expression, false);
    for (const stage of node.stages ?? []) visit(stage.expr, false);
    for (const stage of (node as { predicate?: { expr?: Node }[] }).predicate ?? []) visit(stage.expr, false);
    groups(node);
  };
  visit(ast, true);
  return problems;
}

/** Fields that an object constructor writes and the schema does not have, and those that the schema wants and it leaves out. */
export function checkFields(ast: Node, schema: z.ZodType, typeName: string): ExpressionProblem[] {
  const shape = objectShape(schema);
  if (!shape || ast.type !== "unary" || ast.value !== "{" || !Array.isArray(ast.lhs)) return [];
  const written = new Set<string>();
  const problems: ExpressionProblem[] = [];
  for (const [key] of ast.lhs as readonly (readonly [Node, Node])[]) {
    if (key.type !== "string") return [];
    const name = String(key.value);
    written.add(name);
    if (!Object.hasOwn(shape, name)) {
      problems.push({
        offset: startOf(key, `"${name}"`),
        message: `${typeName} has no field "${name}"${didYouMean(name, Object.keys(shape))}`,
      });
    }
  }
  const meant = misspelt(written, Object.keys(shape));
  const missing = Object.keys(shape).filter(
    (name) => !written.has(name) && !meant.has(name) && !(shape[name] as z.ZodType).safeParse(undefined).success,
  );
  if (missing.length > 0)
    problems.push({ offset: 0, message: `${typeName} needs ${missing.map((name) => `"${name}"`).join(", ")}` });
  return problems;
}

/** The fields of an object, or of the elements of a list of objects. */
function objectShape(schema: z.ZodType): Readonly<Record<string, z.ZodType>> | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return objectShape(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodArray) return objectShape(schema.element as z.ZodType);
  return schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : undefined;
}

function collectBound(value: unknown, bound: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) collectBound(item, bound);
    return;
  }
  const node = value as Node;
  if (node.type === "bind" && node.lhs && !Array.isArray(node.lhs)) bound.add(String((node.lhs as Node).value));
  if (node.type === "lambda") for (const argument of node.arguments ?? []) bound.add(String(argument.value));
  if (node.focus !== undefined) bound.add(node.focus);
  if (typeof node.index === "string") bound.add(node.index);
  for (const inner of Object.values(value)) collectBound(inner, bound);
}

/** JSONata notes where a token ends. */
function startOf(node: Node, written: string): number {
  return Math.max(0, (node.position ?? written.length) - written.length);
}
