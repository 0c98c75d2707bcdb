import type { z } from "zod";

/** What is wrong with settings, all of it, as whoever wrote the file reads it. */
export function settingsProblems({ issues }: z.ZodError): string {
  return issues.flatMap((issue) => sentencesOf(issue)).join("; ");
}

function sentencesOf(issue: z.core.$ZodIssue): string[] {
  // it is said of the file as a whole, which has no path
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => `there is no setting "${[...issue.path, key].join(".")}"`);
  return [issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`];
}
