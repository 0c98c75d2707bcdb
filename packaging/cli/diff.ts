import { type Command, InvalidArgumentError } from "commander";
import { createTwoFilesPatch } from "diff";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { describeProblem, printProblems } from "./problems.ts";
import { readSources } from "./sources.ts";

const side = z.looseObject({ revision: z.int(), text: z.string() }).nullable();
const answered = z.looseObject({
  documents: z.array(z.looseObject({ kind: z.string(), name: z.string(), before: side, after: side })),
  sites: z.array(
    z.looseObject({
      site: z.string(),
      differences: z.array(
        z.looseObject({ path: z.string(), kind: z.string(), before: z.unknown().optional(), after: z.unknown().optional() }),
      ),
      problems: z.array(z.unknown()),
    }),
  ),
  examples: z.array(
    z.looseObject({
      template: z.string(),
      flow: z.string(),
      given: z.string(),
      ok: z.boolean(),
      differences: z.array(z.string()),
    }),
  ),
});
type Answer = z.infer<typeof answered>;
type Options = ConnectionOptions & OutputOptions & { file?: string[]; environment?: string; change?: string };

/** Ends with 1 where something differs, as diff does. */
export function addDiffCommand(program: Command, done: Run): void {
  addOutputOption(
    addConnectionOptions(
      program
        .command("diff")
        .description(
          "What files, or a change, would change: documents line by line, the sites' bundles value by value. Ends with 1 if anything.",
        )
        .option("-f, --file <paths...>", "files, or folders of files")
        .option("--environment <name>", "with -f: beside what is in force there")
        .option("--change <number>", "what this change carries", parseNumber),
    ),
  ).action(async (options: Options) => {
    const client = new CentralClient(options);
    let answer: Answer;
    try {
      answer = answered.parse(await ask(client, options));
    } catch (error) {
      printProblems(error);
      return done(2);
    }
    if (options.output === "table")
      process.stdout.write(drawDiff(answer, process.stdout.isTTY && process.env.NO_COLOR === undefined));
    else print(answer, options.output);
    const differs =
      answer.documents.some(({ before, after }) => before?.text !== after?.text) ||
      answer.sites.some(({ differences, problems }) => differences.length + problems.length > 0);
    done(differs ? 1 : 0);
  });
}

function ask(client: CentralClient, { file, environment, change }: Options): Promise<unknown> {
  if (change !== undefined) return client.call("GET", `/v1/changes/${change}/diff`);
  if (!file || environment === undefined)
    throw new PlantgateError("USAGE", "give files with -f and an --environment, or a --change");
  return client.call("POST", "/v1/diff", { files: readSources(file), environment });
}

function drawDiff({ documents, sites, examples }: Answer, coloured: boolean): string {
  const paint = (code: number, text: string): string => (coloured ? `\u001b[${code}m${text}\u001b[0m` : text);
  const lines: string[] = [];
  for (const { kind, name, before, after } of documents) {
    if (before?.text === after?.text) continue;
    const named = (of: typeof before, otherwise: string): string =>
      of ? `${kind}/${name}${of.revision === 0 ? " (here)" : `@${of.revision}`}` : otherwise;
    const from = named(before, "nothing");
    const patch = createTwoFilesPatch(from, named(after, "removed"), before?.text ?? "", after?.text ?? "");
    for (const line of patch.split("\n").slice(1)) lines.push(paint(colourOf(line), plain(line)));
  }
  for (const { site, differences, problems } of sites) {
    lines.push(paint(1, `site ${site}`));
    for (const { path, before, after } of differences) {
      if (before !== undefined) lines.push(paint(31, `- ${plain(path)}: ${short(before)}`));
      if (after !== undefined) lines.push(paint(32, `+ ${plain(path)}: ${short(after)}`));
    }
    for (const problem of problems) lines.push(paint(31, `! ${plain(describeProblem(problem))}`));
  }
  for (const { template, flow, given, ok, differences } of examples) {
    lines.push(`${ok ? paint(32, "ok") : paint(31, "fails")} Template/${template} ${plain(flow)}: ${plain(given)}`);
    for (const difference of differences) lines.push(`   ${plain(difference)}`);
  }
  return lines.length === 0 ? "no differences\n" : `${lines.join("\n")}\n`;
}

function colourOf(line: string): number {
  if (line.startsWith("+++") || line.startsWith("---")) return 1;
  if (line.startsWith("+")) return 32;
  if (line.startsWith("-")) return 31;
  return line.startsWith("@@") ? 36 : 0;
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return plain(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

/** What others wrote moves no cursor and colours nothing. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) => (character === "\t" ? character : " "));
}

function parseNumber(value: string): string {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError("Give the number of a change.");
  return value;
}
