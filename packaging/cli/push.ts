import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { parseAllDocuments } from "yaml";
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
      .argument("<files...>", "YAML or JSON documents; what is not among them stays as it was in the last revision"),
  ).action(async (site: string, files: string[], options: ConnectionOptions) => {
    const documents = files.map((name) => ({ name, text: readText(name) }));
    const examples = documents.flatMap((document) => readExamples(document));
    const unique = [...new Map([...documents, ...examples].map((file) => [file.name, file])).values()];
    try {
      const answer = revised.parse(
        await new CentralClient(options).call("POST", `/v1/sites/${encodeURIComponent(site)}/revisions`, { files: unique }),
      );
      const same = answer.created === false;
      process.stdout.write(
        same
          ? `${site}: revision ${answer.revision} holds exactly this already; nothing changes\n`
          : `${site}: revision ${answer.revision} is desired now\n`,
      );
    } catch (error) {
      if (!(error instanceof ProblemError) || !error.problem.problems) throw error;
      for (const problem of error.problem.problems) process.stderr.write(`${describe(problem)}\n`);
      process.stderr.write(
        `${site}: refused whole, ${error.problem.problems.length} problem(s); the running configuration stays\n`,
      );
      done(1);
    }
  });
}

/** The example files that a document's flows name, relative to the document. */
function readExamples({ name, text }: { name: string; text: string }): { name: string; text: string }[] {
  const refs = new Set<string>();
  for (const document of parseAllDocuments(text)) {
    const flows = (
      document.toJS() as { spec?: { flows?: Record<string, { examples?: { given?: unknown; expect?: unknown }[] }> } } | null
    )?.spec?.flows;
    for (const flow of Object.values(flows ?? {})) {
      for (const { given, expect } of Array.isArray(flow?.examples) ? flow.examples : [])
        for (const ref of [given, expect]) if (typeof ref === "string") refs.add(ref);
    }
  }
  // a missing example is central's to report, with its place in the document
  return [...refs].flatMap((ref) => {
    const file = join(dirname(name), ref);
    return existsSync(file) ? [{ name: ref, text: readText(file) }] : [];
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
