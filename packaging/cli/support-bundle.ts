import { existsSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { PlantgateError } from "../../protocol/index.ts";
import { addSubjectOptions, type DoctorFlags } from "./doctor.ts";

interface BundleFlags extends DoctorFlags {
  readonly out: string;
  readonly without?: readonly string[];
}

export function addSupportBundleCommand(program: Command): void {
  const command = program
    .command("support-bundle")
    .description(
      "Collect facts about this machine's gateway or central into one file for whoever helps: no messages, no secrets.",
    )
    .requiredOption("--out <file>", "where it is written, such as plantgate-support.tar.gz; not over another file");
  addSubjectOptions(command)
    .option("--without <files...>", "leave these of its files out, as journal.txt")
    .addHelpText(
      "after",
      "\nIt holds what plantgate doctor found, settings, versions, states, counts, the configuration in effect with secrets by name only, names and" +
        "\nsizes of files, and the service's log. Before it is written it is searched for every secret value that can be read here, in every" +
        "\nspelling; where one is found, nothing is written, and the place is named. README.txt inside lists its files. Run it as root.",
    )
    .action(async (flags: BundleFlags) => {
      if (existsSync(flags.out)) throw new PlantgateError("USAGE", `${flags.out} is there already; name another file`);
      const { archiveOf, guardedParts, listOf } = await import("../doctor/bundle.ts");
      const { parts, searched, short, closed } = await guardedParts(flags, flags.without ?? []);
      writeFileSync(flags.out, archiveOf(parts), { mode: 0o600, flag: "wx" });
      process.stdout.write(`${listOf(parts)}\n`);
      process.stderr.write(
        `${flags.out} is written; it was searched for ${searched} secret values in every spelling, and holds none of them.${
          short.length === 0 ? "" : ` Too short to be looked for: ${short.join(", ")}.`
        } Look at it before you send it.\n`,
      );
      if (closed)
        process.stderr.write(
          `It holds little: ${closed} is closed to this user. Make it again as root, or as the user whose that folder is.\n`,
        );
    });
}
