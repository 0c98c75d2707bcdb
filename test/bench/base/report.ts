import { table } from "../../../packaging/cli/table.ts";

/** What a person sees while it runs goes to standard error, tables and the JSON to standard output. */
export interface Report {
  /** One sentence about what is done now. */
  progress(sentence: string): void;
  table(title: string, head: readonly string[], rows: readonly (readonly (string | number)[])[]): void;
  note(text: string): void;
}

export function openReport(): Report {
  const began = performance.now();
  return {
    progress: (sentence) => {
      const seconds = ((performance.now() - began) / 1000).toFixed(0).padStart(4);
      process.stderr.write(`${seconds} s  ${sentence}\n`);
    },
    table: (title, head, rows) => void process.stdout.write(`\n${title}\n\n${table(head, rows)}\n`),
    note: (text) => void process.stdout.write(`${text}\n`),
  };
}
