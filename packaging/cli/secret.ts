import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

const kept = z.looseObject({ name: z.string(), site: z.string(), version: z.int() });
const listed = z.object({
  secrets: z.array(
    z.looseObject({
      name: z.string(),
      owner: z.string().nullable(),
      versions: z.array(z.looseObject({ site: z.string(), version: z.int(), validUntil: z.string().nullable() })),
      warnings: z.array(z.string()),
    }),
  ),
});
const used = z.object({
  uses: z.array(
    z.looseObject({ site: z.string(), paths: z.array(z.string()), version: z.int().nullable(), held: z.boolean().nullable() }),
  ),
});

interface SetOptions extends ConnectionOptions {
  readonly site?: string;
  readonly file?: string;
  readonly expires?: string;
  readonly overlap?: string;
}

export function addSecretCommand(program: Command): void {
  const secret = program
    .command("secret")
    .description("Secrets: given to central once, sealed to the gateways that name them, and never read back.");
  const setting = (name: string, description: string): Command =>
    addConnectionOptions(
      secret
        .command(name)
        .description(description)
        .argument("<name>", 'name of the secret, as configuration names it: { "secret": NAME }')
        .option(
          "--site <name>",
          "a value for this site alone; default: for all sites, of every environment, that name it and have none of their own",
        )
        .option("--file <file>", "read the value from there; default: from standard input")
        .option(
          "--expires <instant>",
          "when its issuer stops accepting it, such as 2027-01-31T00:00:00Z: people are warned before",
        )
        .addHelpText(
          "after",
          "\nA value is never an argument: others on the machine could read it. One line break at its end is not part of it.",
        ),
    );

  setting("set", "Give a secret a value; what it had before is not good any more.").action((name: string, options: SetOptions) =>
    set(name, options),
  );
  setting("rotate", "Give a secret a new value while the one before stays good for a while.")
    .requiredOption("--overlap <duration>", "for how long, such as 1h: where a receiver can take two values")
    .action((name: string, options: SetOptions) => set(name, options));

  addOutputOption(
    addConnectionOptions(secret.command("list").description("Secrets, their versions, and what should be done about them.")),
  ).action(async (options: ConnectionOptions & OutputOptions) => {
    const { secrets } = listed.parse(await new CentralClient(options).call("GET", "/v1/secrets"));
    if (options.output !== "table") return print(secrets, options.output);
    const rows = secrets.map(({ name, owner, versions, warnings }) => ({
      name,
      owner,
      values: versions
        .filter(({ validUntil }) => validUntil === null)
        .map(({ site, version }) => `${site === "" ? "all sites" : site}: ${version}`)
        .join("; "),
      warnings: warnings.join("; "),
    }));
    print(rows, "table");
  });

  addOutputOption(
    addConnectionOptions(
      secret
        .command("where-used")
        .description("Which sites name a secret, where, which version they may have, and whether they hold it.")
        .argument("<name>", "name of the secret"),
    ),
  ).action(async (name: string, options: ConnectionOptions & OutputOptions) => {
    const { uses } = used.parse(await new CentralClient(options).call("GET", `/v1/secrets/${encodeURIComponent(name)}/uses`));
    print(uses, options.output);
  });

  addConnectionOptions(
    secret
      .command("remove")
      .description("Take a secret's values away; gateways that name it go without.")
      .argument("<name>", "name of the secret")
      .option("--site <name>", "the value of this site alone"),
  ).action(async (name: string, options: ConnectionOptions & { site?: string }) => {
    const query = options.site === undefined ? "" : `?site=${encodeURIComponent(options.site)}`;
    await new CentralClient(options).call("DELETE", `/v1/secrets/${encodeURIComponent(name)}${query}`);
    process.stdout.write(`${name}: it has no value${options.site === undefined ? "" : ` for ${options.site}`} any more.\n`);
  });
}

async function set(name: string, { site, file, expires, overlap, ...connection }: SetOptions): Promise<void> {
  const value = readValue(file);
  const answer = kept.parse(
    await new CentralClient(connection).call("PUT", `/v1/secrets/${encodeURIComponent(name)}`, {
      value,
      ...(site === undefined ? {} : { site }),
      ...(expires === undefined ? {} : { expiresAt: expires }),
      ...(overlap === undefined ? {} : { overlap }),
    }),
  );
  const whose = answer.site === "" ? "" : ` for ${answer.site}`;
  const before = overlap === undefined ? "" : `; the one before stays good for ${overlap}`;
  process.stdout.write(
    `${name}${whose}: version ${answer.version} is kept${before}. Gateways that name it have it within seconds.\n`,
  );
}

function readValue(file: string | undefined): string {
  let text: string;
  try {
    text = readFileSync(file ?? 0, "utf8");
  } catch (cause) {
    throw new PlantgateError(
      "USAGE",
      file === undefined ? "standard input cannot be read; pipe the value in, or give --file" : `${file} cannot be read`,
      { cause },
    );
  }
  const value = text.replace(/\r?\n$/, "");
  if (value === "") throw new PlantgateError("USAGE", "the value is empty");
  return value;
}
