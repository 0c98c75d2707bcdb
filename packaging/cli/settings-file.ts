import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { describeError, PlantgateError } from "../../protocol/index.ts";

/**
 * Settings of a process as YAML, keys as in its schema; an empty file says nothing.
 * @throws PlantgateError CONFIG_INVALID
 */
export function readSettingsFile(file: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", `the settings cannot be read from ${file}: ${describeError(cause)}`, { cause });
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content))
    throw new PlantgateError("CONFIG_INVALID", `${file} holds no settings: one "name: value" a line is expected`);
  return content as Record<string, unknown>;
}
