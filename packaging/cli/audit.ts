import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { parseLimit } from "./arguments.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

const entries = z.looseObject({ entries: z.array(z.looseObject({ number: z.int() })), next: z.int() });
const verification = z.looseObject({ entries: z.int(), head: z.string(), badAt: z.int().nullable() });
type Options = ConnectionOptions & OutputOptions;

export function addAuditCommand(program: Command, done: Run): void {
  const audit = program.command("audit").description("What was done at central, by whom.");
  addOutputOption(
    addConnectionOptions(
      audit
        .command("list")
        .description("The last entries that fit, the newest last.")
        .option("--actor <name>", "who did it")
        .option("--action <name>", "such as login.failed, or login for all of them")
        .option("--subject <name>", "to what, such as user/anna, or user for all of them")
        .option("--limit <number>", "how many at most", parseLimit, 50),
    ),
  ).action(async (options: Options & { actor?: string; action?: string; subject?: string; limit: number }) => {
    const { actor, action, subject, limit } = options;
    const central = new CentralClient(options);
    const found: { number: number }[] = [];
    for (let before = 0; found.length < limit; ) {
      const query = new URLSearchParams({ before: String(before), limit: String(Math.min(1000, limit - found.length)) });
      for (const [name, value] of Object.entries({ actor, action, subject })) if (value !== undefined) query.set(name, value);
      const page = entries.parse(await central.call("GET", `/v1/audit?${query}`));
      found.unshift(...page.entries);
      // one call looks at so many: nothing may fit among them
      if (page.next <= 1 || page.next === before) break;
      before = page.next;
    }
    print(found, options.output, ["number", "at", "actor", "action", "subject", "detail"]);
  });
  addOutputOption(
    addConnectionOptions(
      audit
        .command("verify")
        .description("Work out every entry's hash again: whether the log is what was written. Ends with 1 where it is not.")
        .option("--head <hash>", "a hash that was kept elsewhere, of the entry that --at names", parseHash)
        .option("--at <number>", "the number of that entry", parseLimit)
        .addHelpText(
          "after",
          "\nKeep head and entries of the answer elsewhere: without them nobody notices a log that was rewritten whole.",
        ),
    ),
  ).action(async (options: Options & { head?: string; at?: number }) => {
    const { head, at } = options;
    if ((head === undefined) !== (at === undefined)) throw new PlantgateError("USAGE", "give --head and --at together");
    const query = head === undefined ? "" : `?head=${head}&at=${at}`;
    const judged = verification.parse(await new CentralClient(options).call("GET", `/v1/audit/verify${query}`));
    print(judged, options.output);
    if (judged.badAt === null) return;
    process.stderr.write(`Entry ${judged.badAt} is not what was written.\n`);
    done(1);
  });
}

function parseHash(value: string): string {
  if (!/^[0-9a-f]{64}$/.test(value)) throw new InvalidArgumentError("Give 64 hexadecimal digits.");
  return value;
}
