import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { Command, CommanderError } from "commander";
import { parseLimit } from "../../packaging/cli/arguments.ts";
import { openReport } from "./base/report.ts";
import type { RunOptions, RunResult } from "./base/run.ts";
import { prepareProgram, profileInto } from "./base/workspace.ts";

interface Flags {
  readonly json?: boolean;
  readonly rounds?: number;
  readonly messages?: number;
  readonly peers: boolean;
  readonly quick?: boolean;
  readonly profile?: string;
}

const parts: Readonly<Record<string, { about: string; load: () => Promise<(options: RunOptions) => Promise<RunResult>> }>> = {
  intake: {
    about: "How fast messages of 300 bytes become durable: raw disk, the gateway's queue, the whole gateway; beside Mosquitto.",
    load: async () => (await import("./intake/intake.ts")).runIntake,
  },
  replay: {
    about: "How fast a backlog reaches central when the link returns, and is read there; beside Mosquitto's bridge and NATS.",
    load: async () => (await import("./replay/replay.ts")).runReplay,
  },
  live: {
    about: "How long live transactions take to central while a backlog of samples drains.",
    load: async () => (await import("./live/live.ts")).runLive,
  },
  footprint: {
    about:
      "What a gateway needs: resident memory idle and at 1,000 messages a second, time to start with nothing and with a backlog.",
    load: async () => (await import("./footprint/footprint.ts")).runFootprint,
  },
};

/** Runs one part; the exit code is 1 only when messages of ours were lost, doubled or reordered: no figure is a failure. */
async function run(part: string, flags: Flags): Promise<void> {
  const { json, quick = false, profile, ...rest } = flags;
  if (profile !== undefined) {
    const folder = resolve(profile);
    mkdirSync(folder, { recursive: true });
    profileInto(folder);
  }
  const report = openReport();
  report.progress("builds what is measured");
  await prepareProgram();
  const work = await parts[part]?.load();
  const result = await work?.({ ...rest, quick, report });
  if (!result) return;
  if (result.wrong > 0) process.exitCode = 1;
  process.stdout.write(
    `\n${result.wrong === 0 ? "Nothing was lost, doubled or reordered." : `WRONG: ${result.wrong} messages.`}\n`,
  );
  if (json) process.stdout.write(`${JSON.stringify(result.figures)}\n`);
}

const program = new Command("bench")
  .description("Measures Plantgate beside its peers on this machine, in interleaved rounds.")
  .exitOverride()
  .addHelpText(
    "after",
    "\nPeers are Debian's mosquitto and nats-server; as root they are installed where they are missing.\nFiles lie in the system's temporary folder (TMPDIR): give it a real disk, flushing is what is measured.",
  );
for (const [name, { about }] of Object.entries(parts)) {
  program
    .command(name)
    .description(about)
    .option("--json", "print one line of JSON at the end")
    .option("--rounds <n>", "rounds, interleaved; figures are medians", parseLimit)
    .option("--messages <n>", "size of the backlog", parseLimit)
    .option("--no-peers", "measure only ourselves")
    .option("--quick", "a few seconds, to see that it runs: the figures mean nothing")
    .option("--profile <folder>", "write CPU profiles of the gateway and central there")
    .action((flags: Flags) => run(name, flags));
}

// as the last resort would: exit handlers end every process and remove every folder
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
