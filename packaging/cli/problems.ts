import { z } from "zod";
import { ProblemError } from "./connection.ts";

const placed = z.looseObject({
  file: z.string().optional(),
  line: z.int().optional(),
  column: z.int().optional(),
  path: z.union([z.string(), z.array(z.union([z.string(), z.number()]))]).optional(),
  message: z.string(),
});

/** One problem of a document, as a compiler would say it. */
export function describeProblem(problem: unknown): string {
  const parsed = placed.safeParse(problem);
  if (!parsed.success) return JSON.stringify(problem);
  const { file, line, column, path, message } = parsed.data;
  const place = file === "" ? "" : [file, line, column].filter((part) => part !== undefined).join(":");
  const where = Array.isArray(path) ? path.join(".") : path;
  return [place, where ? `${where}:` : "", message].filter((part) => part !== "").join(" ");
}

/** Prints every problem that central names in a refusal; whatever else failed is thrown on. @returns how many there were */
export function printProblems(error: unknown): number {
  if (!(error instanceof ProblemError) || !error.problem.problems) throw error;
  for (const problem of error.problem.problems) process.stderr.write(`${describeProblem(problem)}\n`);
  return error.problem.problems.length;
}
