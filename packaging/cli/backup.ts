import { readFileSync } from "node:fs";
import { resolve, sep } from "node:path";
import type { Command } from "commander";
import { version } from "../../gateway/version.ts";
import { systemClock } from "../../protocol/index.ts";
import { parseLimit } from "./arguments.ts";
import { asOwner, becomeOwner, installed, requireOpen, settingsOf } from "./installed.ts";
import { loadModule } from "./module.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { tellProgress } from "./progress.ts";

type BackupModule = typeof import("../../central/backup/main.ts");

interface BackupCommandOptions extends OutputOptions {
  readonly data?: string;
  readonly config?: string;
  readonly database?: string;
  readonly out: string;
  readonly keep?: number;
  readonly keysOut?: string;
  readonly recipient?: string;
}
interface VerifyOptions extends OutputOptions {
  readonly keys?: string;
  readonly recoveryKey?: string;
}

export function addBackupCommand(program: Command): void {
  const backup = addOutputOption(
    program
      .command("backup")
      .description(
        "Copy this machine's central into one file, while it runs: ledger and signing key. Read back whole before it is said to be good.",
      )
      .option("--data <folder>", "central's data folder (default: that of the installed central)")
      .option("--config <file>", "central's settings, which name its database (default: those of the installed central)")
      .option("--database <url>", "the database, where central's ledger lies in PostgreSQL; needs pg_dump")
      .option(
        "--out <file>",
        "the backup: a file that is not there yet, or a folder (FOLDER/ is made if it is missing), where it gets a name with the time",
      )
      .option("--keep <number>", "where --out is a folder: how many backups stay in it; older ones are deleted", parseLimit)
      .option(
        "--keys-out <file>",
        "write the keys of secrets to a file of its own, which belongs to another place than the backup",
      )
      .option("--recipient <file>", "seal the backup to this RSA public key (PEM): only its private half opens it"),
  ).addHelpText(
    "after",
    "\nThe admin token is not in a backup. Without --keys-out, secrets cannot be restored: their keys are not in it either." +
      "\nThe database's password is read from PGPASSFILE or PGPASSWORD.",
  );
  backup.action(async (options: BackupCommandOptions) => {
    if (options.out === undefined) backup.error("error: required option '--out <file>' not specified");
    const { dataDir, databaseUrl } = centralOf(options);
    const recipient = options.recipient === undefined ? undefined : readFileSync(options.recipient, "utf8");
    // what lies in a folder that is not root's may lead elsewhere
    if (resolve(options.out).startsWith(resolve(dataDir) + sep)) becomeOwner(dataDir);
    const { backUp } = (await loadModule("central/backup/main")) as BackupModule;
    const made = await backUp({
      dataDir,
      databaseUrl,
      out: options.out,
      keep: options.keep,
      keysOut: options.keysOut,
      recipient,
      version,
      clock: systemClock,
      asOwner: (run) => asOwner(dataDir, [], run),
      progress: tellProgress,
    });
    for (const warning of made.warnings) process.stderr.write(`${warning}.\n`);
    print(
      { ...summaryOf(made.manifest), file: made.file, bytes: made.bytes, keysFile: made.keysFile ?? null, deleted: made.dropped },
      options.output,
    );
  });
  addOutputOption(
    backup
      .command("verify")
      .description("Read a backup whole and hold every byte against its checksums. Ends with 1 where it is not what was written.")
      .argument("<file>", "the backup")
      .option("--keys <file>", "also whether these keys open its secrets")
      .option("--recovery-key <file>", "private key (PEM) of a sealed backup"),
  ).action(async (file: string, options: VerifyOptions, command: Command) => {
    const { output } = command.optsWithGlobals<OutputOptions>();
    const { verify } = (await loadModule("central/backup/main")) as BackupModule;
    const judged = await verify({
      file,
      keysFile: options.keys,
      recoveryKey: options.recoveryKey === undefined ? undefined : readFileSync(options.recoveryKey, "utf8"),
      progress: tellProgress,
    });
    for (const warning of judged.warnings) process.stderr.write(`${warning}\n`);
    print({ ...summaryOf(judged.manifest), whole: true, opensSecrets: judged.opensSecrets }, output);
  });
}

/** Where the central of this machine keeps what it knows, as it is told at its own start. */
export function centralOf(options: { readonly data?: string; readonly config?: string; readonly database?: string }): {
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
} {
  const here = installed("central");
  // whoever names the installed folder means the installed central, whose settings say where its ledger is
  const isHere = here !== undefined && options.data !== undefined && resolve(options.data) === resolve(here.dataDir);
  const said = { dataDir: isHere ? undefined : options.data, databaseUrl: options.database };
  const { dataDir, databaseUrl } = settingsOf("central", options.config, said);
  requireOpen(String(dataDir));
  return { dataDir: String(dataDir), databaseUrl: databaseUrl === undefined ? undefined : String(databaseUrl) };
}

/** A manifest, as far as a person asks. */
export function summaryOf(manifest: Awaited<ReturnType<BackupModule["verify"]>>["manifest"]): Record<string, unknown> {
  const { id, takenAt, version: madeBy, storage, ledger } = manifest;
  return {
    id,
    takenAt,
    madeBy,
    storage,
    schemaStep: ledger.steps.at(-1),
    positions: ledger.positions,
    sites: ledger.tables.sites ?? 0,
    recorded: ledger.lanes.reduce((sum, { recorded }) => sum + recorded, 0),
    auditEntries: ledger.audit.entries,
    sealedSecrets: ledger.secrets.sealed,
  };
}
