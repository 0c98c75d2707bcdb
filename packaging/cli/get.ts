import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { documentKinds } from "../../central/http/api/common.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

type Options = ConnectionOptions & OutputOptions & { environment?: string; state?: string };

const rows = z.array(z.looseObject({}));
/** What a list is asked for, and what of it a table shows. */
const lists = {
  documents: { path: "/v1/documents", columns: ["kind", "name", "revision", "environments", "owner", "changedAt", "changedBy"] },
  changes: { path: "/v1/changes", columns: ["number", "environment", "state", "author", "title", "rollout", "updatedAt"] },
  sites: { path: "/v1/sites", columns: ["name", "labels", "condition", "desiredRevision", "reportedRevision"] },
} as const;
type List = keyof typeof lists;

export function addGetCommand(program: Command): void {
  addOutputOption(
    addConnectionOptions(
      program
        .command("get")
        .description("Print what central has.")
        .argument(
          "<what>",
          "documents, changes, sites, KIND/NAME with its revisions, or KIND/NAME@REVISION as it was written",
          parseWhat,
        )
        .option("--environment <name>", "changes: of one environment")
        .option("--state <states>", "changes: in these states, with commas between"),
    ),
  ).action(async (what: string, options: Options) => {
    const client = new CentralClient(options);
    if (what in lists) {
      const { path, columns } = lists[what as List];
      const query = new URLSearchParams(
        Object.entries({ environment: options.environment, state: options.state }).filter(
          (pair): pair is [string, string] => pair[1] !== undefined,
        ),
      );
      const answer = z
        .looseObject({ [what]: rows })
        .parse(await client.call("GET", what === "changes" ? `${path}?${query}` : path));
      return print(rows.parse(answer[what]), options.output, columns);
    }
    const [, kind = "", name = "", revision] = /^([^/]+)\/([^@]+)(?:@(\d+))?$/.exec(what) ?? [];
    const path = `/v1/documents/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`;
    if (revision === undefined) {
      const history = z.looseObject({ revisions: rows }).parse(await client.call("GET", path));
      if (options.output !== "table") return print(history, options.output);
      return print(history.revisions, "table", ["revision", "createdAt", "createdBy", "change", "digest"]);
    }
    const found = z.looseObject({ text: z.string() }).parse(await client.call("GET", `${path}/revisions/${revision}`));
    if (options.output !== "table") return print(found, options.output);
    process.stdout.write(found.text.endsWith("\n") ? found.text : `${found.text}\n`);
  });
}

function parseWhat(value: string): string {
  const kind = value.split("/")[0] ?? "";
  const isDocument = (documentKinds as readonly string[]).includes(kind) && /^[^/]+\/[^/@]+(@\d+)?$/.test(value);
  if (!(value in lists) && !isDocument)
    throw new InvalidArgumentError(
      `Give ${Object.keys(lists).join(", ")} or KIND/NAME[@REVISION]; kinds are ${documentKinds.join(", ")}.`,
    );
  return value;
}
