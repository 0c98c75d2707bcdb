import { PlantgateError } from "../base/error.ts";

/** Longest ordering or idempotency key, in characters. */
export const maxKeyLength = 512;

/**
 * Joins the parts of a key with `/`. Parts are escaped, so that no two lists of parts share a key: ["a/b", "c"] and ["a", "b/c"] differ.
 * @throws PlantgateError KEY_INCOMPLETE: a part is missing, empty, or neither text nor a number; never a shorter key instead
 */
export function joinKey(parts: readonly unknown[], names: readonly string[] = []): string {
  return checkLength(escapeKey(parts.map((part, index) => keyPart(part, names[index]))));
}

/** Text parts as one key. */
export function escapeKey(parts: readonly string[]): string {
  return parts.map((part) => part.replaceAll("%", "%25").replaceAll("/", "%2F")).join("/");
}

/** The key of one expression: its value as it is. @throws PlantgateError KEY_INCOMPLETE */
export function singleKey(value: unknown, name?: string): string {
  return checkLength(keyPart(value, name));
}

function keyPart(value: unknown, name: string | undefined): string {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  const what = value === undefined || value === null ? "is missing" : value === "" ? "is empty" : "is neither text nor a number";
  throw new PlantgateError("KEY_INCOMPLETE", `a part of the key ${what}${name === undefined ? "" : `: ${name}`}`, {
    context: { part: name },
  });
}

function checkLength(key: string): string {
  if (key.length > maxKeyLength)
    throw new PlantgateError("KEY_INCOMPLETE", `the key is longer than ${maxKeyLength} characters`, {
      context: { length: key.length },
    });
  return key;
}
