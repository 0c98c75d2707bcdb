import { type Command, InvalidArgumentError } from "commander";
import { documentKinds } from "../../central/http/api/common.ts";
import { PlantgateError } from "../../protocol/index.ts";
import { changeAnswer, showing } from "./change.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputOptions } from "./output.ts";
import { readSources } from "./sources.ts";

interface ApplyOptions extends ConnectionOptions, OutputOptions {
  readonly file?: string[];
  readonly remove?: { kind: string; name: string }[];
  readonly environment?: string;
  readonly title?: string;
  readonly description?: string;
  readonly expedited?: boolean;
  readonly change?: string;
  readonly submit?: boolean;
}

export function addApplyCommand(program: Command, done: Run): void {
  addOutputOption(
    addConnectionOptions(
      program
        .command("apply")
        .description(
          "Write a change: documents for an environment, as a draft that others read. Nothing reaches a site by that alone.",
        )
        .option("-f, --file <paths...>", "files, or folders of files: YAML or JSON documents, and the examples that they name")
        .option("--remove <documents...>", "KIND/NAME that is no longer in force", collect)
        .option("--environment <name>", "dev, test, prod")
        .option("--title <text>", "what it is for, in a line")
        .option("--description <text>", "more of it")
        .option("--expedited", "urgent: past the run in test and in one wave, with an approver, and reviewed afterwards")
        .option("--change <number>", "edit this draft: it carries these documents, and no others, from now on")
        .option("--submit", "hand it to others to read at once"),
    ),
  ).action(async (options: ApplyOptions) => {
    const { file, remove, title, description, expedited, change } = options;
    if (!file && !remove && !change) throw new PlantgateError("USAGE", "give files with -f, or documents with --remove");
    const client = new CentralClient(options);
    const files = file && readSources(file);
    await showing(done, options, async () => {
      const written = change
        ? await edit(client, change, { files, removes: remove, title, description, expedited })
        : await client.call("POST", "/v1/changes", {
            ...{ files, removes: remove, description, expedited },
            environment: required(options.environment, "--environment"),
            title: required(title, "--title"),
          });
      const { number } = changeAnswer.parse(written);
      return options.submit ? client.call("POST", `/v1/changes/${number}/submit`, {}) : written;
    });
  });
}

async function edit(client: CentralClient, change: string, body: object): Promise<unknown> {
  const path = `/v1/changes/${encodeURIComponent(change)}`;
  const { version } = changeAnswer.parse(await client.call("GET", path));
  return client.call("PUT", path, { ...body, version });
}

function required(value: string | undefined, name: string): string {
  if (value === undefined) throw new PlantgateError("USAGE", `a new change needs ${name}`);
  return value;
}

/** `Template/assembly-plant` */
export function parseDocument(value: string): { kind: string; name: string } {
  const [kind = "", name = "", ...rest] = value.split("/");
  if (!(documentKinds as readonly string[]).includes(kind) || name === "" || rest.length > 0)
    throw new InvalidArgumentError(`Give KIND/NAME; kinds are ${documentKinds.join(", ")}.`);
  return { kind, name };
}

function collect(value: string, before: { kind: string; name: string }[] | undefined): { kind: string; name: string }[] {
  return [...(before ?? []), parseDocument(value)];
}
