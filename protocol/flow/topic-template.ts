import { PlantgateError } from "../base/error.ts";
import { compileExpression, type Expression, ExpressionError, type Inputs } from "./expression.ts";
import type { FlowFunction } from "./functions.ts";

/** A topic or path such as `wms/orders/{data.moId}`: text, and paths into the message. */
export interface TopicTemplate {
  readonly text: string;
  readonly parts: readonly (string | { readonly expression: Expression; readonly offset: number })[];
}

/** @throws ExpressionError */
export function parseTopicTemplate(text: string, functions: readonly FlowFunction[]): TopicTemplate {
  const parts: (string | { expression: Expression; offset: number })[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf("{", at);
    const literal = text.slice(at, open < 0 ? undefined : open);
    if (literal.includes("}")) throw new ExpressionError("a } without its {", at + literal.indexOf("}"));
    if (literal !== "") parts.push(literal);
    if (open < 0) break;
    const close = text.indexOf("}", open);
    if (close < 0) throw new ExpressionError("a { without its }", open);
    parts.push({ expression: compilePath(text.slice(open + 1, close), open + 1, functions), offset: open + 1 });
    at = close + 1;
  }
  return { text, parts };
}

function compilePath(text: string, offset: number, functions: readonly FlowFunction[]): Expression {
  try {
    const expression = compileExpression(text, functions);
    if (expression.ast.type === "path" && expression.sync) return expression;
  } catch (error) {
    if (error instanceof ExpressionError) throw new ExpressionError(error.message, offset + error.offset);
    throw error;
  }
  throw new ExpressionError(`"${text}" is not a path such as data.moId`, offset);
}

/** Every topic that the template can become, as a topic filter. */
export function templateFilter(template: TopicTemplate): string {
  return template.parts
    .map((part) => (typeof part === "string" ? part : "\u0000"))
    .join("")
    .split("/")
    .map((level) => (level.includes("\u0000") ? "+" : level))
    .join("/");
}

/**
 * The topic of a message. A value that would change the topic's levels is refused, never substituted.
 * @throws PlantgateError DESTINATION_INVALID
 */
export function fillTemplate(
  template: TopicTemplate,
  inputs: Inputs,
  encode: (value: string) => string = (value) => value,
): string {
  return template.parts
    .map((part) => (typeof part === "string" ? part : encode(levelOf(part.expression.sync?.(inputs), part.expression.text))))
    .join("");
}

function levelOf(value: unknown, path: string): string {
  const text = typeof value === "number" && Number.isFinite(value) ? String(value) : value;
  if (typeof text !== "string" || text === "") {
    throw new PlantgateError(
      "DESTINATION_INVALID",
      `{${path}} is ${value === undefined || value === "" ? "empty" : "neither text nor a number"}`,
      { context: { path } },
    );
  }
  if (/[/+#\p{Cc}]/u.test(text)) {
    throw new PlantgateError(
      "DESTINATION_INVALID",
      `{${path}} holds a character that a topic level may not: /, +, # or a control character`,
      { context: { path } },
    );
  }
  return text;
}
