import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { describeProblem, printProblems } from "./problems.ts";

type Options = ConnectionOptions & OutputOptions;

// what these commands read of an answer; -o json and yaml print all of it
export const changeAnswer = z.looseObject({
  number: z.int(),
  title: z.string(),
  environment: z.string(),
  state: z.string(),
  author: z.string(),
  expedited: z.boolean(),
  digest: z.string(),
  version: z.int(),
  reason: z.string().nullable(),
  rollout: z.int().nullable(),
  // an older central has changes of documents alone
  release: z.string().nullish(),
  untested: z.string().nullish(),
  packages: z.array(z.looseObject({ file: z.string(), sha256: z.string() })).optional(),
  documents: z.array(z.looseObject({ kind: z.string(), name: z.string(), revision: z.int(), base: z.int() })),
  problems: z.array(z.unknown()),
  events: z.array(z.looseObject({ at: z.string(), actor: z.string(), kind: z.string(), text: z.string() })),
});
export type ChangeAnswer = z.infer<typeof changeAnswer>;

/** What needs no more than a comment. */
const steps = {
  submit: "Hand a draft to others to read; where nobody has to, it is approved by that.",
  withdraw: "Take it back to be edited; an approval is void.",
  reject: "Send it back to be edited.",
  abandon: "Give it up before it is rolled out.",
  start: "Hand an approved change to its rollout.",
  review: "Say that an expedited change was read afterwards.",
} as const;

export function addChangeCommand(program: Command, done: Run): void {
  const change = program.command("change").description("Changes: drafts, review, promotion. plantgate apply writes one.");
  for (const [step, description] of Object.entries(steps)) {
    numbered(change.command(step).description(description))
      .option("--comment <text>", "what others should know", "")
      .action(async (number: string, options: Options & { comment: string }) => {
        const path = `/v1/changes/${encodeURIComponent(number)}/${step}`;
        await showing(done, options, () => new CentralClient(options).call("POST", path, { comment: options.comment }));
      });
  }
  addApprove(change, done);
  addApprove(program, done);
  numbered(change.command("show").description("A change: what it carries, what was said, what stands against it.")).action(
    async (number: string, options: Options) => {
      showChange(await readChange(options, number), options);
    },
  );
  numbered(change.command("comment").description("Say something about a change."))
    .argument("<text>", "what others should know")
    .action(async (number: string, text: string, options: Options) => {
      const path = `/v1/changes/${encodeURIComponent(number)}/comments`;
      await showing(done, options, () => new CentralClient(options).call("POST", path, { text }));
    });
  numbered(
    change
      .command("promote")
      .description("Carry a change that is done on to the next environment, by the same revisions: a new draft."),
  )
    .requiredOption("--environment <name>", "test or prod")
    .option("--submit", "hand the new draft to others to read at once")
    .action(async (number: string, options: Options & { environment: string; submit?: boolean }) => {
      const client = new CentralClient(options);
      await showing(done, options, async () => {
        const made = changeAnswer.parse(
          await client.call("POST", `/v1/changes/${encodeURIComponent(number)}/promote`, { environment: options.environment }),
        );
        return options.submit ? client.call("POST", `/v1/changes/${made.number}/submit`, {}) : made;
      });
    });
}

function addApprove(parent: Command, done: Run): void {
  numbered(parent.command("approve").description("Approve what a change carries. Its author and whoever edited it cannot."))
    .option("--digest <digest>", "of what was read (plantgate change show), or its beginning; default: what it carries now")
    .option("--comment <text>", "what others should know", "")
    .action(async (number: string, options: Options & { digest?: string; comment: string }) => {
      const now = await readChange(options, number);
      const { digest: read = now.digest } = options;
      if (read.length < 8 || !now.digest.startsWith(read))
        throw new PlantgateError("USAGE", `change ${number} is not what was read any more: its digest is ${now.digest}`);
      const path = `/v1/changes/${encodeURIComponent(number)}/approve`;
      const body = { comment: options.comment, digest: now.digest };
      await showing(done, options, () => new CentralClient(options).call("POST", path, body));
    });
}

function numbered(command: Command): Command {
  return addOutputOption(addConnectionOptions(command.argument("<number>", "number of the change")));
}

async function readChange(options: ConnectionOptions, number: string): Promise<ChangeAnswer> {
  return changeAnswer.parse(await new CentralClient(options).call("GET", `/v1/changes/${encodeURIComponent(number)}`));
}

/** Makes a step and shows the change; problems are printed one a line, as a compiler would. */
export async function showing(done: Run, options: OutputOptions, step: () => Promise<unknown>): Promise<void> {
  let answer: unknown;
  try {
    answer = await step();
  } catch (error) {
    const count = printProblems(error);
    process.stderr.write(`refused: ${count} ${count === 1 ? "problem" : "problems"}\n`);
    return done(1);
  }
  showChange(changeAnswer.parse(answer), options);
}

export function showChange(change: ChangeAnswer, { output }: OutputOptions): void {
  if (output !== "table") return print(change, output);
  const { number, title, state, environment, author, expedited, digest, version, reason, rollout, release, untested } = change;
  const more = {
    ...(typeof release === "string" ? { release } : {}),
    ...(typeof untested === "string" ? { untested } : {}),
    ...(expedited ? { expedited: "yes" } : {}),
    ...(reason === null ? {} : { reason }),
    ...(rollout === null ? {} : { rollout }),
  };
  print({ change: number, title, state, environment, author, version, digest, ...more }, output);
  if (change.packages?.length) print(change.packages, output, ["file", "sha256"]);
  if (change.documents.length > 0) print(change.documents, output, ["kind", "name", "base", "revision"]);
  if (change.events.length > 0) print(change.events, output, ["at", "actor", "kind", "text"]);
  for (const problem of change.problems) process.stdout.write(`${describeProblem(problem)}\n`);
}
