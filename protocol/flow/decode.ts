import { PlantgateError } from "../base/error.ts";

/** How deep input may be nested; what walks a decoded value may then recurse. */
export const maxInputDepth = 64;

/**
 * The JSON value of bytes as they came in, without loss: a number that a double would not give back, and every integer beyond
 * 2^53, becomes a string of its digits (an SSCC of 18 digits stays what it is). Keys named `__proto__` are dropped.
 * @throws PlantgateError INPUT_NOT_JSON: not UTF-8, not JSON, or nested too deep
 */
export function decodeJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PlantgateError("INPUT_NOT_JSON", "the input is not UTF-8", { cause });
  }
  return decodeJsonText(text);
}

/** As {@link decodeJson}, for text. */
export function decodeJsonText(text: string): unknown {
  if (nestsTooDeep(text)) throw new PlantgateError("INPUT_NOT_JSON", `the input is nested more than ${maxInputDepth} deep`);
  try {
    // the reviver costs several times the plain parse, and most input has no number that could lose a digit
    return mayLose.test(text)
      ? (JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown) as unknown)
      : (JSON.parse(text) as unknown);
  } catch (cause) {
    throw new PlantgateError(
      "INPUT_NOT_JSON",
      `the input is not JSON: ${cause instanceof Error ? cause.message.slice(0, 200) : ""}`,
    );
  }
}

// 15 significant digits always survive a double; an exponent below 100 cannot leave its range with so few
const mayLose = /[\d.]{16,}|\d[eE][+-]?\d{3}|__proto__|\\u005[fF]/;

/** `source` is the literal as it was written (ECMAScript 2026, JSON.parse source text access). */
function keepDigits(key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (key === "__proto__") return undefined;
  if (typeof value !== "number") return value;
  const source = context.source ?? String(value);
  if (Number.isInteger(value)) return Number.isSafeInteger(value) && sameDecimal(source, value) ? value : source;
  return sameDecimal(source, value) ? value : source;
}

/** Whether the shortest decimal of `value` is the number that `source` writes. */
function sameDecimal(source: string, value: number): boolean {
  if (!Number.isFinite(value)) return false;
  const [a, b] = [digitsOf(source), digitsOf(String(value))];
  return a.digits === b.digits && (a.digits === "" || a.exponent === b.exponent);
}

/** A decimal literal as significant digits and the power of ten before the first one. */
function digitsOf(literal: string): { readonly digits: string; readonly exponent: number } {
  const [mantissa = "", power = "0"] = literal.replace(/^-/, "").split(/[eE]/);
  const [whole = "", fraction = ""] = mantissa.split(".");
  const all = whole + fraction;
  const significant = all.replace(/^0+/, "");
  return { digits: significant.replace(/0+$/, ""), exponent: whole.length - (all.length - significant.length) + Number(power) };
}

function nestsTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      // to the end of the string: an escaped quote does not end it
      for (i++; i < text.length; i++) {
        const inner = text.charCodeAt(i);
        if (inner === 0x5c) i++;
        else if (inner === 0x22) break;
      }
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > maxInputDepth) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}
