import { readFileSync, writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { parseLife } from "./arguments.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { spoken } from "./enroll.ts";
import { addLossCommands } from "./losses.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { addSiteCreateCommand } from "./site-create.ts";

const added = z.looseObject({ site: z.string(), signingKey: z.string() });

export function addSiteCommand(program: Command): void {
  const site = program.command("site").description("Sites that central knows.");
  addConnectionOptions(
    site
      .command("add")
      .description("Register a site: central pins the gateway's public key; prints central's, which the gateway pins.")
      .argument("<name>", "name of the site, such as lyon")
      .requiredOption("--public-key <file>", 'the gateway\'s public key, from "plantgate key --data FOLDER"')
      .option("--out <file>", "write central's key there instead of printing it"),
  ).action(async (name: string, options: ConnectionOptions & { publicKey: string; out?: string }) => {
    const { signingKey } = added.parse(
      await new CentralClient(options).call("POST", "/v1/sites", { name, publicKey: readText(options.publicKey) }),
    );
    if (options.out === undefined) process.stdout.write(signingKey.endsWith("\n") ? signingKey : `${signingKey}\n`);
    else writeFileSync(options.out, signingKey);
    process.stderr.write(
      `Site "${name}" is registered. Give the gateway central's key: plantgate gateway --site ${name} --central-key FILE …\n`,
    );
  });
  addConnectionOptions(
    site
      .command("revoke")
      .description("Take a site's access away: open requests end within 5 s. The plant runs on by itself.")
      .argument("<name>", "name of the site"),
  ).action(async (name: string, options: ConnectionOptions) => {
    await new CentralClient(options).call("POST", `/v1/sites/${encodeURIComponent(name)}/revoke`);
    process.stdout.write(`The access of "${name}" is revoked.\n`);
  });
  addSiteCreateCommand(site);
  addLossCommands(site);
  addKeyCommands(site);
}

const keyList = z.looseObject({ keys: z.array(z.looseObject({ fingerprint: z.string(), state: z.string() })) });
const token = z.looseObject({ token: z.string(), expiresAt: z.string() });
const answered = z.looseObject({ fingerprint: z.string().nullable(), file: z.string() });

/** Its gateway's keys: how they come, are confirmed, changed and taken away. */
function addKeyCommands(site: Command): void {
  const named = (name: string, description: string): Command =>
    addConnectionOptions(site.command(name).description(description).argument("<name>", "name of the site"));
  const path = (name: string, rest: string): string => `/v1/sites/${encodeURIComponent(name)}/${rest}`;

  named("token", "Make an enrollment token: good for one gateway of this site, and for a while. It is shown once.")
    .addOption(new Option("--life <duration>", "how long it is good, 72h at most").argParser(parseLife).default(3600, "1h"))
    .action(async (name: string, options: ConnectionOptions & { life: number }) => {
      const body = { lifeSeconds: options.life };
      const made = token.parse(await new CentralClient(options).call("POST", path(name, "enrollment-tokens"), body));
      process.stdout.write(`${made.token}\n`);
      process.stderr.write(
        `Good until ${made.expiresAt}. In the plant: plantgate enroll --central URL --token T (--data FOLDER where nothing is installed)\n`,
      );
    });

  addOutputOption(named("keys", "The keys of the site's gateway.")).action(
    async (name: string, options: ConnectionOptions & OutputOptions) => {
      const { keys } = keyList.parse(await new CentralClient(options).call("GET", path(name, "keys")));
      print(keys, options.output, ["fingerprint", "state", "origin", "createdAt", "confirmedBy", "retiresAt"]);
    },
  );

  named("confirm", "Let a gateway in whose key waits, after its fingerprint was compared with what the gateway shows.")
    .requiredOption("--fingerprint <hex>", "what the gateway shows: all of it, or its first half")
    .action(async (name: string, options: ConnectionOptions & { fingerprint: string }) => {
      const client = new CentralClient(options);
      const { keys } = keyList.parse(await client.call("GET", path(name, "keys")));
      const fingerprint = among(keys, name, options.fingerprint);
      await client.call("POST", path(name, `keys/${fingerprint}/confirm`));
      process.stdout.write(`${name}: the gateway with this key is let in:\n\n${spoken(fingerprint)}\n`);
    });

  named("revoke-key", "Refuse one key from now on, for good; open requests that it signed end within 5 s. The plant runs on.")
    .requiredOption("--fingerprint <hex>", "which one: all of it, or its first half")
    .action(async (name: string, options: ConnectionOptions & { fingerprint: string }) => {
      const client = new CentralClient(options);
      const { keys } = keyList.parse(await client.call("GET", path(name, "keys")));
      const fingerprint = among(keys, name, options.fingerprint);
      await client.call("POST", path(name, `keys/${fingerprint}/revoke`));
      process.stdout.write(`${name}: the key ${fingerprint} is revoked.\n`);
    });

  named("rotate-key", "Ask the site's gateway for a new key. It changes with its next report; no call is lost.").action(
    async (name: string, options: ConnectionOptions) => {
      await new CentralClient(options).call("POST", path(name, "rotate-key"));
      process.stdout.write(`${name}: its gateway is asked for a new key; plantgate site keys ${name} shows it\n`);
    },
  );

  named("enroll", "Take a gateway's request that was carried here, and write the answer to carry back.")
    .requiredOption("--request <file>", "as plantgate enroll --request wrote it")
    .requiredOption("--out <file>", "where to write the answer")
    .action(async (name: string, options: ConnectionOptions & { request: string; out: string }) => {
      const request = parseRequest(options.request);
      const client = new CentralClient(options);
      const query = `central=${encodeURIComponent(client.origin)}`;
      const made = answered.parse(await client.call("POST", path(name, `enrollment-requests?${query}`), request));
      writeFileSync(options.out, `${made.file}\n`, { mode: 0o600 });
      process.stdout.write(`${name}: the gateway with this key is let in:\n\n${spoken(made.fingerprint ?? "")}\n`);
      process.stderr.write(`In the plant: plantgate bundle import ${options.out} (--data FOLDER where nothing is installed)\n`);
    });
}

/** Half of a fingerprint is as hard to meet by chance, or on purpose, as anything here. */
const leastDigits = 32;

/** @throws PlantgateError USAGE where it is none of them */
function among(keys: readonly { readonly fingerprint: string }[], site: string, said: string): string {
  const wanted = said.toLowerCase().replaceAll(/[^0-9a-f]/g, "");
  if (wanted.length < leastDigits)
    throw new PlantgateError("USAGE", `a fingerprint has 64 hexadecimal digits; give the first ${leastDigits} at least`);
  const [found, another] = keys.filter(({ fingerprint }) => fingerprint.startsWith(wanted));
  if (found && !another) return found.fingerprint;
  throw new PlantgateError(
    "USAGE",
    `site "${site}" has no key with this fingerprint: do not let it in; plantgate site keys ${site} shows those that it has`,
  );
}

function parseRequest(file: string): unknown {
  try {
    return JSON.parse(readText(file));
  } catch (cause) {
    if (cause instanceof PlantgateError) throw cause;
    throw new PlantgateError("USAGE", `${file} is no request of a gateway`, { cause });
  }
}

export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read`, { cause });
  }
}
