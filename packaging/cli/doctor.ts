import { type Command, Option } from "commander";
import type { Role } from "./installed.ts";
import type { Run } from "./main.ts";

export interface DoctorFlags {
  readonly role?: Role;
  readonly data?: string;
  readonly config?: string;
}

/** What a doctor, and whoever sends its findings on, has to be told. */
export function addSubjectOptions(command: Command): Command {
  return command
    .addOption(new Option("--role <role>", "what is looked at (default: what is installed here)").choices(["gateway", "central"]))
    .option("--data <folder>", "its data folder (default: the installed one's)")
    .option("--config <file>", "its settings as YAML (default: the installed one's)");
}

export function addDoctorCommand(program: Command, done: Run): void {
  const command = program
    .command("doctor")
    .description(
      "Look for what is wrong with this machine's gateway or central, running or not. Changes nothing; ends within half a minute.",
    );
  addSubjectOptions(command)
    .option("--json", "print one JSON object")
    .option("--only <checks...>", "only these checks, by name")
    .addHelpText(
      "after",
      "\nOne line a finding: ok, warning, FAULT, or not checked and why. Run it as root: it then sees everything, and looks into the data" +
        "\nfolder as the service's user. All it writes is a file of its own there, to measure flushes, which it removes." +
        "\n\nExit code: 0 no fault (there may be warnings), 1 faults, 2 the command line is wrong.",
    )
    .action(async (flags: DoctorFlags & { json?: boolean; only?: string[] }) => {
      const { examine, prepare, subjectOf } = await import("../doctor/examine.ts");
      const { describe, toJson } = await import("../doctor/describe.ts");
      const subject = subjectOf(flags);
      const examined = await examine(subject, prepare(subject), flags.only ?? []);
      const faults = examined.findings.filter(({ level }) => level === "fault").length;
      if (flags.only && examined.findings.length === 0)
        command.error(`error: there are no such checks: ${flags.only.join(", ")}`);
      const text = flags.json ? JSON.stringify(toJson(examined), null, 2) : describe(examined);
      await new Promise<void>((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
      done(faults > 0 ? 1 : 0);
      // what hangs is left behind: it may never come back
      if (examined.isUnfinished) process.exit(faults > 0 ? 1 : 0);
    });
}
