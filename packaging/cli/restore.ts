import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { systemClock } from "../../protocol/index.ts";
import { centralOf, summaryOf } from "./backup.ts";
import { becomeOwner, placeHere } from "./installed.ts";
import { loadModule } from "./module.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";
import { tellProgress } from "./progress.ts";

interface RestoreCommandOptions extends OutputOptions {
  readonly data?: string;
  readonly config?: string;
  readonly database?: string;
  readonly keys?: string;
  readonly replace?: boolean;
  readonly recoveryKey?: string;
}

export function addRestoreCommand(program: Command): void {
  addOutputOption(
    program
      .command("restore")
      .description(
        "Put a backup into central's data folder, while central is stopped. All of it is judged before anything is moved.",
      )
      .argument("<file>", 'what "plantgate backup" wrote')
      .option("--data <folder>", "central's data folder (default: that of the installed central)")
      .option("--config <file>", "central's settings, which name its database (default: those of the installed central)")
      .option("--database <url>", "the database, where the backup is of a central on PostgreSQL; needs pg_restore")
      .option("--keys <file>", 'what "plantgate backup --keys-out" wrote: without it secrets have to be set again')
      .option("--replace", "what is there is moved aside first; it is never deleted")
      .option("--recovery-key <file>", "private key (PEM) of a sealed backup"),
  ).action(async (file: string, options: RestoreCommandOptions) => {
    const { dataDir, databaseUrl } = centralOf(options);
    const { restore } = (await loadModule("central/backup/main")) as typeof import("../../central/backup/main.ts");
    const restored = await restore({
      file,
      dataDir,
      databaseUrl,
      keysFile: options.keys,
      replace: options.replace ?? false,
      recoveryKey: options.recoveryKey === undefined ? undefined : readFileSync(options.recoveryKey, "utf8"),
      clock: systemClock,
      becomeOwner: () => becomeOwner(dataDir),
      progress: tellProgress,
    });
    const { manifest, movedTo, kept, warnings } = restored;
    print({ ...summaryOf(manifest), dataDir, movedTo, kept }, options.output);
    const start = placeHere("central", dataDir)?.start ?? `plantgate central --data ${dataDir}`;
    for (const said of [...warnings, ...next(start)]) process.stderr.write(`${said}\n`);
  });
}

function next(start: string): string[] {
  return [
    `Start it with: ${start}`,
    "It begins as another incarnation; gateways notice by themselves and send again what it lost. How far they are: the console's page Recovery, or GET /v1/recovery.",
    "Nobody sends again what people did since the backup: users, tokens, documents, changes, secrets, and what was revoked. People have to sign in again; open enrollment tokens are void.",
  ];
}
