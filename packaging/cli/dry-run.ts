import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { dryRunResult, type FieldDifference, PlantgateError } from "../../protocol/index.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputFormat, type OutputOptions, print, toText } from "./output.ts";

interface DryRunOptions extends ConnectionOptions, OutputOptions {
  readonly change?: number;
  readonly id?: string;
  readonly messages: number;
  readonly wait?: boolean;
}

const dryRun = z.looseObject({
  id: z.string(),
  site: z.string(),
  change: z.int().nullable(),
  state: z.enum(["asked", "done", "failed"]),
  reason: z.string().nullable(),
  result: dryRunResult.nullable(),
});
type DryRun = z.infer<typeof dryRun>;

const lookEveryMs = 500;

/** What a change would do at a site, tried on what its gateway recorded. */
export function addDryRunCommand(program: Command, done: Run): void {
  const command = program
    .command("dry-run")
    .description("Run a change on the inputs that a site recorded, and show by field what would be otherwise. Nothing is sent.")
    .argument("<site>", "name of the site")
    .option("--change <number>", "the change to try", parseCount(1_000_000_000))
    .option("--messages <n>", "of the newest inputs, so many at most", parseCount(10_000), 1000)
    .option("--wait", "wait for the result")
    .option("--id <id>", "show a dry run that was asked for before, instead of asking for one")
    .addHelpText("after", "\nThe exit code is 1 where the dry run failed.");
  addOutputOption(addConnectionOptions(command)).action(async (site: string, options: DryRunOptions) => {
    const central = new CentralClient(options);
    const path = `/v1/sites/${encodeURIComponent(site)}/dry-runs`;
    const find = async (id: string): Promise<DryRun> =>
      dryRun.parse(await central.call("GET", `${path}/${encodeURIComponent(id)}`));
    let run: DryRun;
    if (options.id !== undefined) run = await find(options.id);
    else {
      const { change, messages } = options;
      if (change === undefined)
        throw new PlantgateError("USAGE", "say which change to try: --change NUMBER, or --id ID to see an earlier one");
      run = dryRun.parse(await central.call("POST", path, { change, messages }));
    }
    // central gives it up by itself where the site stays out of reach
    while (options.wait && run.state === "asked") {
      await sleep(lookEveryMs);
      run = await find(run.id);
    }
    show(run, options.output);
    if (run.state === "failed") done(1);
  });
}

function show(run: DryRun, format: OutputFormat): void {
  if (format !== "table") return print(run, format);
  const { result, site, id } = run;
  const said = [];
  if (run.state === "asked") said.push(`${site} is asked; see what comes of it: plantgate dry-run ${site} --id ${id} --wait`);
  if (run.state === "failed") said.push(`${site}: the dry run failed: ${run.reason ?? "no reason is known"}`);
  if (result) {
    said.push(
      `${site}: ${result.inputs} inputs: ${result.same} the same, ${result.different} different, ${result.skipped} not run`,
    );
    for (const flow of result.flows) {
      said.push(
        "",
        `${flow.flow}: ${flow.different} of ${flow.inputs} different; refused before: ${flow.refusedBefore}, after: ${flow.refusedAfter}${flow.skipped > 0 ? `; not run: ${flow.skipped}` : ""}`,
      );
      if (flow.fields.length > 0) said.push(fieldTable(flow.fields));
      if (flow.reasons.length > 0) said.push(toText(flow.reasons, "table", ["code", "count", "message"]));
    }
  }
  process.stdout.write(`${said.join("\n")}\n`);
}

/** Field by field: how often, and an example of both sides. */
export function fieldTable(fields: readonly FieldDifference[]): string {
  const rows = fields.map(({ path, count, before, after }) => ({ path, count, before: short(before), after: short(after) }));
  return toText(rows, "table", ["path", "count", "before", "after"]);
}

function short(value: unknown): string {
  if (value === undefined) return "-";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function parseCount(most: number): (value: string) => number {
  return (value) => {
    const count = Number(value);
    if (!Number.isInteger(count) || count < 1 || count > most)
      throw new InvalidArgumentError(`Give a whole number from 1 to ${most}.`);
    return count;
  };
}
