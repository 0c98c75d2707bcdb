import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { z } from "zod";
import { importFile } from "../../gateway/enrollment/by-file.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { systemClock } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { asOwner, dataOption } from "./installed.ts";

const exported = z.looseObject({ file: z.string() });

export function addBundleCommand(program: Command): void {
  const bundle = program.command("bundle").description("A site's configuration in a file, for a plant without a way to central.");
  addConnectionOptions(
    bundle
      .command("export")
      .description("At central: write a site's desired configuration and its sealed secrets into a file.")
      .argument("<site>", "name of the site")
      .requiredOption("--out <file>", "where to write it"),
  ).action(async (site: string, options: ConnectionOptions & { out: string }) => {
    const client = new CentralClient(options);
    const query = `central=${encodeURIComponent(client.origin)}`;
    const answer = await client.call("GET", `/v1/sites/${encodeURIComponent(site)}/file?${query}`);
    writeFileSync(options.out, `${exported.parse(answer).file}\n`, { mode: 0o600 });
    process.stdout.write(
      `${site}: ${options.out} is written; in the plant: plantgate bundle import ${options.out} (--data FOLDER where nothing is installed)\n`,
    );
  });
  const taken = bundle
    .command("import")
    .description("In the plant, while the gateway is stopped: take a file of central. It runs with the next start.")
    .argument("<file>", "as plantgate site enroll or plantgate bundle export wrote it");
  dataOption(taken, "gateway", "folder that the gateway owns")
    .option("--force", "also one that is older than what the gateway has")
    .action(async (file: string, options: { data: string; force?: boolean }) => {
      const log = openLogger({ level: "error", site: "import" });
      const { site, revision, secrets, signingKey } = await asOwner(options.data, [file], ([readable = file]) =>
        importFile({ dataDir: options.data, file: readable, force: options.force ?? false }, { clock: systemClock, log }),
      );
      const what = revision === 0 ? "no configuration yet" : `revision ${revision}`;
      process.stdout.write(
        `${site}: taken, with ${what}${secrets ? " and its secrets" : ""}; central signs with ${signingKey}\n`,
      );
    });
}
