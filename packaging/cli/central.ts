import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import { z } from "zod";
import { version } from "../../gateway/version.ts";
import type { Supervisor } from "../../protocol/index.ts";
import { parseBacklog, parseDays, parseLife, parseMebibytes, parsePort, parseSeconds } from "./arguments.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { becomeOwner, requireOpen, requireWritable, settingsOf } from "./installed.ts";
import type { Run } from "./main.ts";
import { loadModule } from "./module.ts";
import { type RefusedSettings, withoutNewer } from "./newer-settings.ts";
import { openSupervisor, stopWithInput } from "./supervisor.ts";

export function addCentralCommand(program: Command, done: Run): void {
  const command = program
    .command("central")
    .description("Run the control plane until SIGINT or SIGTERM.")
    .option("--data <folder>", "folder that central owns: ledger, keys, admin token")
    .option(
      "--config <file>",
      "settings as YAML: dataDir, databaseUrl, host, port, …; what the command line says counts more (default: /etc/plantgate/central.yaml, where it is installed)",
    )
    .option("--database <url>", "PostgreSQL database for the ledger, postgres://USER@HOST/DATABASE; default: a file in FOLDER")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--port <number>", "port to listen on; 0: any free one (default: 8420)", parsePort)
    .option(
      "--recovery-point <seconds>",
      "how old a backup may be when it is restored: gateways keep for so long what was acknowledged (default: 3600)",
      parseSeconds(0, 7 * 86_400),
    )
    .option("--lease <seconds>", "a gateway that is silent for longer is unknown (default: 15)", parseSeconds(2, 3600))
    .option(
      "--max-backlog <messages>",
      "recorded messages of a site that may wait for projection; past it its samples and bulk data are refused (default: 5000000)",
      parseBacklog,
    )
    .option(
      "--max-releases <MiB>",
      "of the ledger, by packages of gateways (plantgate release add); default: 4096",
      parseMebibytes(256, 1024 * 1024),
    )
    .option(
      "--backup-overdue <days>",
      "an alarm says when central has run for so long without a new backup; 0: never (default: 2)",
      parseDays,
    )
    .option(
      "--trusted-proxy <networks...>",
      "addresses or networks of proxies before central, whose X-Forwarded-For counts; default: this machine",
    )
    .option("--console <folder>", "the built console; default: dist/console of this program")
    .option("--new-signing-key", "the ledger's signing key is lost for good: begin with FOLDER's; gateways are enrolled anew")
    .option("--log-level <level>", "debug, info, warn or error (default: info)")
    .option("--until-input-ends", "stop as well when standard input ends: for a supervisor without signals, as on Windows")
    .addHelpText(
      "after",
      "\nThe admin token is in FOLDER/admin.token; other commands read it with --token-file." +
        "\nA database's password is read from PGPASSFILE or PGPASSWORD. Replicas of one database share admin.token and signing-key.json.",
    )
    .action(
      async (
        options: Record<string, string> & { trustedProxy?: string[]; newSigningKey?: boolean; untilInputEnds?: boolean },
      ) => {
        const {
          data,
          config,
          database: databaseUrl,
          recoveryPoint,
          lease,
          maxBacklog,
          maxReleases,
          backupOverdue,
          newSigningKey,
          console: consoleDir,
          trustedProxy,
          untilInputEnds,
          ...rest
        } = options;
        if (untilInputEnds) stopWithInput();
        const settings = settingsOf("central", config, {
          ...rest,
          dataDir: data,
          databaseUrl,
          recoveryPointSeconds: toNumber(recoveryPoint),
          leaseSeconds: toNumber(lease),
          maxBacklogMessages: toNumber(maxBacklog),
          maxReleasesMiB: toNumber(maxReleases),
          backupOverdueDays: toNumber(backupOverdue),
          trustedProxies: trustedProxy,
          newSigningKey,
          consoleDir,
        });
        settings.consoleDir ??= builtConsole();
        becomeOwner(String(settings.dataDir));
        requireOpen(String(settings.dataDir));
        requireWritable("central", String(settings.dataDir));
        const { runCentral, refusedSettings } = (await loadModule("central/main")) as {
          runCentral: (raw: unknown, supervisor: Supervisor, version: string) => Promise<number>;
          refusedSettings: RefusedSettings;
        };
        const code = await runCentral(withoutNewer("central", settings, refusedSettings(settings)), openSupervisor(), version);
        // its ledger was replaced: nothing that still runs may answer anybody
        if (code === 70) process.exit(code);
        done(code);
      },
    );
  addSigningKeyCommand(command);
}

function toNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

const rotated = z.looseObject({ kid: z.string(), before: z.string(), overlapUntil: z.string() });

/** What central signs with. */
function addSigningKeyCommand(central: Command): void {
  addConnectionOptions(
    central
      .command("rotate-signing-key")
      .description("Sign with a new key from now on. Gateways follow by themselves, also those that are away now.")
      .addOption(
        new Option("--overlap <duration>", "how long what the key before signed is still taken")
          .argParser(parseLife)
          .default(86_400, "24h"),
      )
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
