import { type Command, Option } from "commander";
import { stringify } from "yaml";
import { table } from "./table.ts";

export const outputFormats = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof outputFormats)[number];
/** What {@link addOutputOption} adds to a command's options. */
export interface OutputOptions {
  readonly output: OutputFormat;
}

/** `-o json|yaml|table`: how a command prints what it was asked for. */
export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option("-o, --output <format>", "table for people; json and yaml hold everything, as central answered it")
      .choices(outputFormats)
      .default("table"),
  );
}

/**
 * Prints rows, or one object, on stdout. A table shows the columns named, else all that rows have, and says so where there is no row; one
 * object is a line per key.
 */
export function print(value: object | readonly object[], format: OutputFormat, columns?: readonly string[]): void {
  process.stdout.write(`${toText(value, format, columns)}\n`);
}

export function toText(value: object | readonly object[], format: OutputFormat, columns?: readonly string[]): string {
  if (format === "json") return JSON.stringify(value, null, 2);
  if (format === "yaml") return stringify(value, { aliasDuplicateObjects: false }).trimEnd();
  if (!Array.isArray(value)) {
    const entries = Object.entries(value).filter(([key]) => columns === undefined || columns.includes(key));
    const width = Math.max(0, ...entries.map(([key]) => key.length));
    return entries.map(([key, one]) => `${key.padEnd(width)}  ${cell(one)}`.trimEnd()).join("\n");
  }
  const rows = value as readonly Record<string, unknown>[];
  if (rows.length === 0) return "none";
  const shown = columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return table(
    shown,
    rows.map((row) => shown.map((column) => cell(row[column]))),
  );
}

function cell(value: unknown): string | number {
  if (value === undefined || value === null) return "-";
  if (typeof value === "number") return value;
  if (typeof value === "string") return plain(value);
  if (Array.isArray(value) && value.every((part) => typeof part !== "object")) return plain(value.join(","));
  return plain(JSON.stringify(value));
}

/** What others wrote moves no cursor and colours nothing. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
