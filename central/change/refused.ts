import type { DocumentProblem, ProblemCode } from "../../protocol/index.ts";

/** A change cannot do this now; the sentence says why, and what to do. Nothing has moved. */
export class ChangeRefused extends Error {
  readonly code: Extract<ProblemCode, "invalid" | "not-allowed" | "conflict" | "not-found">;
  readonly problems: readonly DocumentProblem[];

  constructor(code: ChangeRefused["code"], reason: string, problems: readonly DocumentProblem[] = []) {
    super(reason);
    this.name = "ChangeRefused";
    this.code = code;
    this.problems = problems;
  }
}
