import type { Command } from "commander";
import { z } from "zod";
import { addConnectionOptions, CentralClient, type ConnectionOptions, ProblemError } from "./connection.ts";
import type { Run } from "./main.ts";
import { readText } from "./site.ts";

const revised = z.looseObject({ revision: z.int(), created: z.boolean().optional() });
const placed = z.looseObject({
  file: z.string().optional(),
  line: z.int().optional(),
  column: z.int().optional(),
  path: z.union([z.string(), z.array(z.union([z.string(), z.number()]))]).optional(),
  message: z.string(),
});

export function addPushCommand(program: Command, done: Run): void {
  addConnectionOptions(
    program
      .command("push")
      .description("Give a site a new revision of its configuration: judged whole, signed by central, in effect within seconds.")
      .argument("<site>", "name of the site")
      .argument("<files...>", "YAML or JSON documents; what is not among them stays as it was in the last revision")
      .addHelpText("after", "\nExamples of flows are run by plantgate validate, not by a push."),
  ).action(async (site: string, files: string[], options: ConnectionOptions) => {
    const refused = (problems: readonly unknown[]): void => {
      for (const problem of problems) process.stderr.write(`${describe(problem)}\n`);
      const counted = `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
      process.stderr.write(`${site}: refused whole, ${counted}; the running configuration stays\n`);
      done(1);
    };
    const documents = files.map((name) => ({ name, text: readText(name) }));
    try {
      const answer = revised.parse(
        await new CentralClient(options).call("POST", `/v1/sites/${encodeURIComponent(site)}/revisions`, { files: documents }),
      );
      const same = answer.created === false;
      process.stdout.write(
        same
          ? `${site}: revision ${answer.revision} holds exactly this already; nothing changes\n`
          : `${site}: revision ${answer.revision} is desired now\n`,
      );
    } catch (error) {
      if (!(error instanceof ProblemError) || !error.problem.problems) throw error;
      refused(error.problem.problems);
    }
  });
}

function describe(problem: unknown): string {
  const parsed = placed.safeParse(problem);
  if (!parsed.success) return JSON.stringify(problem);
  const { file, line, column, path, message } = parsed.data;
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  const where = Array.isArray(path) ? path.join(".") : path;
  return [place, where ? `${where}:` : "", message].filter((part) => part !== "").join(" ");
}
