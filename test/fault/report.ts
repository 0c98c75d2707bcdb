import { table } from "../../packaging/cli/table.ts";
import type { Outcome } from "./scenario.ts";

/** One scenario's end: what it found, or why it found nothing. */
export type Result = { readonly name: string; readonly seconds: number; readonly overran?: true } & (
  | { readonly outcome: Outcome; readonly failure?: undefined }
  | { readonly failure: string; readonly outcome?: undefined }
);

/** Prints the tables and, where asked, the JSON line; returns the exit code. */
export function printReport(results: readonly Result[], options: { all: boolean; json: boolean; seed: number }): number {
  const rows = results.map(({ name, seconds, outcome }) => [
    name,
    outcome ? (outcome.held ? "held" : "did not hold") : "failed",
    outcome?.acknowledged ?? 0,
    outcome?.lost ?? 0,
    outcome?.duplicates ?? 0,
    outcome?.reordered ?? 0,
    seconds,
  ]);
  write(table(["fault", "", "acknowledged", "lost", "doubled", "reordered", "seconds"], rows));
  for (const { name, outcome, failure } of results) {
    write("");
    write(name);
    const entry = outcome ? Object.entries(outcome.entry) : [["failure", failure?.split("\n")[0] ?? ""] as const];
    write(
      table(
        ["", ""],
        entry.map(([key, value]) => [`  ${key}`, typeof value === "object" ? JSON.stringify(value) : String(value)]),
      ),
    );
    for (const finding of outcome?.findings ?? []) write(`  ! ${finding}`);
  }
  if (options.json) write(JSON.stringify(options.all ? summary(results, options.seed) : single(results[0], options.seed)));
  return results.length > 0 && results.every(({ outcome }) => outcome?.held) ? 0 : 1;
}

function summary(results: readonly Result[], seed: number): Record<string, unknown> {
  const sum = (of: (outcome: Outcome) => number): number =>
    results.reduce((total, { outcome }) => total + (outcome ? of(outcome) : 0), 0);
  const entryOf = (name: string): Readonly<Record<string, unknown>> =>
    results.find((result) => result.name === name)?.outcome?.entry ?? {};
  return {
    // under kills and power cuts; the other faults have theirs in their entries
    acknowledged: Number(entryOf("kills").acknowledged ?? 0) + Number(entryOf("power").acknowledged ?? 0),
    acknowledgedInAll: sum(({ acknowledged }) => acknowledged),
    kills: entryOf("kills").kills ?? 0,
    powerCuts: entryOf("power").powerCuts ?? 0,
    powerCutMethod: entryOf("power").powerCutMethod ?? "none",
    negativeControlLost: entryOf("power").negativeControlLost ?? 0,
    lost: sum(({ lost }) => lost),
    duplicates: sum(({ duplicates }) => duplicates),
    reordered: sum(({ reordered }) => reordered),
    held: results.every(({ outcome }) => outcome?.held),
    seed,
    faults: Object.fromEntries(results.map((result) => [result.name, single(result)])),
  };
}

function single(result: Result | undefined, seed?: number): Record<string, unknown> {
  if (!result) return {};
  const { outcome, failure, seconds } = result;
  if (!outcome) return { held: false, failure: failure?.split("\n")[0], seconds, ...(seed === undefined ? {} : { seed }) };
  return { ...outcome.entry, held: outcome.held, findings: outcome.findings, seconds, ...(seed === undefined ? {} : { seed }) };
}

function write(text: string): void {
  process.stdout.write(`${text}\n`);
}
