import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";

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
}

export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read`, { cause });
  }
}
