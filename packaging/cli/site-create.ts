import type { Command } from "commander";
import { stringify } from "yaml";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { type CopiedSite, copySite, type Finding, type TemplateText } from "./site-copy.ts";

const history = z.looseObject({
  name: z.string(),
  revision: z.int(),
  environments: z.record(z.string(), z.int()),
});
const documents = z.looseObject({ documents: z.array(history.extend({ kind: z.string() })) });
const revision = z.looseObject({ text: z.string() });
const change = z.looseObject({ number: z.int() });
const effective = z.looseObject({ secrets: z.array(z.looseObject({ name: z.string() })) });

export function addSiteCreateCommand(site: Command): void {
  addOutputOption(
    addConnectionOptions(
      site
        .command("create")
        .description("Make a site whose gateway is enrolled later; like another one: with a draft of its Site document.")
        .argument("<name>", "name of the site, such as lyon")
        .requiredOption("--environment <name>", "where it belongs, for ever: dev, test or prod")
        .option("--like <site>", "copy that one's Site document, and name what is missing or is that one's own"),
    ),
  ).action(async (name: string, options: ConnectionOptions & OutputOptions & { environment: string; like?: string }) => {
    const { environment, like } = options;
    const client = new CentralClient(options);
    const copied = like === undefined ? undefined : await copyOf(client, name, environment, like);
    await client.call("POST", "/v1/sites", { name, environment });
    const files = copied && [{ name: `${name}.yaml`, text: stringify(copied.document) }];
    const made =
      files &&
      change.parse(await client.call("POST", "/v1/changes", { title: `Site ${name}, like ${like}`, environment, files }));
    const findings = copied?.findings ?? [];
    if (options.output !== "table")
      return print({ site: name, environment, change: made?.number ?? null, findings }, options.output);
    process.stdout.write(`${name}: the site is there, in ${environment}; plantgate site token ${name} lets its gateway in\n`);
    if (!made) return;
    process.stdout.write(
      `Change ${made.number} is a draft of its Site document, copied from ${like}. To be seen to before it is submitted:\n`,
    );
    for (const line of describe(findings)) process.stdout.write(`  ${line}\n`);
  });
}

async function copyOf(client: CentralClient, name: string, environment: string, like: string): Promise<CopiedSite> {
  const { documents: all } = documents.parse(await client.call("GET", "/v1/documents"));
  const textOf = async (kind: string, of: z.infer<typeof history>, at?: number): Promise<string> => {
    const path = `/v1/documents/${kind}/${encodeURIComponent(of.name)}/revisions/${at ?? of.revision}`;
    return revision.parse(await client.call("GET", path)).text;
  };
  const other = all.find((each) => each.kind === "Site" && each.name === like);
  if (!other)
    throw new PlantgateError(
      "USAGE",
      `central has no Site document "${like}" to copy; it may have been pushed before documents were kept`,
    );
  // what is in force where it belongs, before what is only drafted
  const text = await textOf("Site", other, Object.values(other.environments)[0]);
  const templates: TemplateText[] = [];
  for (const each of all.filter(({ kind }) => kind === "Template"))
    templates.push({ name: each.name, text: await textOf("Template", each, each.environments[environment]) });
  const { secrets } = await client
    .call("GET", `/v1/sites/${encodeURIComponent(like)}/effective`)
    .then((answer) => effective.parse(answer))
    .catch(() => ({ secrets: [] }));
  return copySite({ name, environment, like, text, templates, secrets: secrets.map((secret) => secret.name) });
}

function describe(findings: readonly Finding[]): string[] {
  if (findings.length === 0) return ["nothing: all of it holds for the new site as well"];
  return findings.map(({ kind, path, why }) => `${kind} ${path}: ${why}`);
}
