import type { RunningProcess } from "../../support/process.ts";

const errorLevel = 50;

/** Events that a process logged as errors: a person has to look. */
export function alarms(process: RunningProcess): string[] {
  const events = process.output.flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const entry = JSON.parse(line) as { level?: number; event?: string };
    return (entry.level ?? 0) >= errorLevel && entry.event !== undefined ? [entry.event] : [];
  });
  return [...new Set(events)];
}
