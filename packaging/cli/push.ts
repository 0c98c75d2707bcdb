import type { Command } from "commander";
import { z } from "zod";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { printProblems } from "./problems.ts";
import { readText } from "./site.ts";

const revised = z.looseObject({ revision: z.int(), created: z.boolean().optional() });
export function addPushCommand(program: Command, done: Run): void {
  addConnectionOptions(
    program
      .command("push")
      .description("Give a site a new revision of its configuration: judged whole, signed by central, in effect within seconds.")
      .argument("<site>", "name of the site")
      .argument("<files...>", "YAML or JSON documents; what is not among them stays as it was in the last revision")
      .addHelpText("after", "\nExamples of flows are run by plantgate validate, not by a push."),
  ).action(async (site: string, files: string[], options: ConnectionOptions) => {
    const documents = files.map((name) => ({ name, text: readText(name) }));
    try {
      const answer = revised.parse(
        await new CentralClient(options).call("POST", `/v1/sites/${encodeURIComponent(site)}/revisions`, { files: documents }),
      );
      const same = answer.created === false;
      process.stdout.write(
        same
          ? `${site}: revision ${answer.revision} holds exactly this already; nothing changes\n`
          : `${site}: revision ${answer.revision} is desired now\n`,
      );
    } catch (error) {
      const count = printProblems(error);
      const counted = `${count} ${count === 1 ? "problem" : "problems"}`;
      process.stderr.write(`${site}: refused whole, ${counted}; the running configuration stays\n`);
      done(1);
    }
  });
}
