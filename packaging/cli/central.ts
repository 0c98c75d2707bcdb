import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { z } from "zod";
import { parseBacklog, parseLife, parsePort, parseSeconds } from "./arguments.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { loadModule } from "./module.ts";

export function addCentralCommand(program: Command, done: Run): void {
  const command = program
    .command("central")
    .description("Run the control plane until SIGINT or SIGTERM.")
    .option("--data <folder>", "folder that central owns: ledger, keys, admin token")
    .option("--database <url>", "PostgreSQL database for the ledger, postgres://USER@HOST/DATABASE; default: a file in FOLDER")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0: any free one", parsePort, "8420")
    .option(
      "--recovery-point <seconds>",
      "how old a backup may be when it is restored: gateways keep for so long what was acknowledged",
      parseSeconds(0, 7 * 86_400),
      "3600",
    )
    .option("--lease <seconds>", "a gateway that is silent for longer is unknown", parseSeconds(2, 3600), "15")
    .option(
      "--max-backlog <messages>",
      "recorded messages of a site that may wait for projection; past it its samples and bulk data are refused",
      parseBacklog,
      "5000000",
    )
    .option(
      "--trusted-proxy <networks...>",
      "addresses or networks of proxies before central, whose X-Forwarded-For counts; default: this machine",
    )
    .option("--console <folder>", "the built console; default: dist/console of this program")
    .option("--new-signing-key", "the ledger's signing key is lost for good: begin with FOLDER's; gateways are enrolled anew")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nThe admin token is in FOLDER/admin.token; other commands read it with --token-file." +
        "\nA database's password is read from PGPASSFILE or PGPASSWORD. Replicas of one database share admin.token and signing-key.json.",
    )
    .action(async (options: Record<string, string> & { trustedProxy?: string[]; newSigningKey?: boolean }) => {
      // not a required option, as those of this command's own commands would need it too
      if (options.data === undefined) command.error("error: required option '--data <folder>' not specified");
      const { runCentral } = (await loadModule("central/main")) as { runCentral: (raw: unknown) => Promise<number> };
      const {
        data,
        database: databaseUrl,
        recoveryPoint,
        lease,
        maxBacklog,
        newSigningKey,
        console: consoleDir,
        trustedProxy,
        ...rest
      } = options;
      const code = await runCentral({
        ...rest,
        dataDir: data,
        databaseUrl,
        recoveryPointSeconds: Number(recoveryPoint),
        leaseSeconds: Number(lease),
        maxBacklogMessages: Number(maxBacklog),
        trustedProxies: trustedProxy,
        newSigningKey: newSigningKey ?? false,
        consoleDir: consoleDir ?? builtConsole(),
      });
      // its ledger was replaced: nothing that still runs may answer anybody
      if (code === 70) process.exit(code);
      done(code);
    });
  addSigningKeyCommand(command);
}

const rotated = z.looseObject({ kid: z.string(), before: z.string(), overlapUntil: z.string() });

/** What central signs with. */
function addSigningKeyCommand(central: Command): void {
  addConnectionOptions(
    central
      .command("rotate-signing-key")
      .description("Sign with a new key from now on. Gateways follow by themselves, also those that are away now.")
      .option("--overlap <duration>", "how long what the key before signed is still taken", parseLife, 86_400)
      .addHelpText(
        "after",
        "\nBack up signing-key.json of central's data folder afterwards: the one before cannot sign for this central any more.",
      ),
  ).action(async (options: ConnectionOptions & { overlap: number }) => {
    const body = { overlapSeconds: options.overlap };
    const { kid, before, overlapUntil } = rotated.parse(
      await new CentralClient(options).call("POST", "/v1/signing-keys/rotate", body),
    );
    process.stdout.write(`central signs with ${kid}; what ${before} signed is taken until ${overlapUntil}\n`);
    process.stderr.write("Back up signing-key.json of central's data folder now.\n");
  });
}

/** Where the console lies once it is built: beside what is built, or in `dist` of the sources. */
function builtConsole(): string | undefined {
  const folder = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "../../dist/console" : "../../console", import.meta.url),
  );
  return existsSync(folder) ? folder : undefined;
}
