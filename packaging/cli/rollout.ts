import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { changeAnswer, showing } from "./change.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import type { Run } from "./main.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

// what these commands read of an answer; -o json and yaml print all of it
const summary = z.looseObject({
  number: z.int(),
  change: z.int(),
  title: z.string(),
  // an older central rolls out configurations alone
  release: z.string().nullish(),
  environment: z.string(),
  state: z.string(),
  wave: z.int(),
  waves: z.int(),
  summary: z.string(),
  reason: z.string().nullable(),
});
const list = z.looseObject({ rollouts: z.array(summary) });
const view = summary.extend({
  plan: z.array(
    z.looseObject({
      wave: z.int(),
      title: z.string(),
      state: z.string(),
      heldMs: z.int(),
      windowMs: z.int(),
      sites: z.array(
        z.looseObject({
          site: z.string(),
          state: z.string(),
          reason: z.string().nullable(),
          toRevision: z.int(),
          reportedRevision: z.int(),
          toVersion: z.string().nullish(),
          reportedVersion: z.string().nullish(),
        }),
      ),
    }),
  ),
});
export type RolloutStatus = z.infer<typeof view>;
type Options = ConnectionOptions & OutputOptions;

const ended = ["done", "aborted", "rolled-back"];
const watchEveryMs = 1000;

export function addRolloutCommand(program: Command, done: Run): void {
  const rollout = program.command("rollout").description("Changes on their way to the sites, wave by wave.");
  addStart(rollout, done);
  addOutputOption(
    addConnectionOptions(
      rollout.command("list").description("Rollouts, the newest first.").option("--environment <name>", "of one environment"),
    ),
  ).action(async (options: Options & { environment?: string }) => {
    const query = options.environment === undefined ? "" : `?environment=${encodeURIComponent(options.environment)}`;
    const answer = await new CentralClient(options).call("GET", `/v1/rollouts${query}`);
    const { rollouts } = list.parse(answer);
    print(rollouts, options.output, ["number", "change", "environment", "state", "summary", "title"]);
  });

  addOutputOption(
    addConnectionOptions(
      rollout
        .command("status")
        .description("One rollout: its waves, and the sites that are not well. Ends with 1 for one that was put back.")
        .argument("<number>", "number of the rollout")
        .option("--watch", "go on until it has ended"),
    ),
  ).action(async (number: string, options: Options & { watch?: boolean }) => {
    const client = new CentralClient(options);
    let [shown, seen] = ["", false];
    for (;;) {
      const said = await client.call("GET", `/v1/rollouts/${encodeURIComponent(number)}`).catch((error: unknown) => {
        // a rollout outlives a central that is stopped, and so does whoever watches it
        if (!options.watch || !seen || !(error instanceof PlantgateError) || error.code !== "PEER_UNREACHABLE") throw error;
        return undefined;
      });
      if (said === undefined) {
        await sleep(watchEveryMs);
        continue;
      }
      seen = true;
      const answer = view.parse(said);
      const isOver = ended.includes(answer.state);
      if (options.output === "table") {
        const text = drawRollout(answer);
        if (text !== shown) process.stdout.write(`${shown === "" ? "" : "\n"}${text}\n`);
        shown = text;
      } else if (!options.watch || isOver) print(answer, options.output);
      if (!options.watch || isOver) return done(answer.state === "rolled-back" || answer.state === "aborted" ? 1 : 0);
      await sleep(watchEveryMs);
    }
  });

  for (const [decision, description] of [
    ["pause", "Tell no further site; sites that fail are put back all the same."],
    ["resume", "Go on."],
    ["abort", "Put back every site that was told. Needs --reason."],
  ] as const) {
    addOutputOption(
      addConnectionOptions(
        rollout
          .command(decision)
          .description(description)
          .argument("<number>", "number of the rollout")
          .option("--reason <text>", "why; it stays with the rollout and in the audit log", ""),
      ),
    ).action(async (number: string, options: Options & { reason: string }) => {
      const { reason } = options;
      const path = `/v1/rollouts/${encodeURIComponent(number)}/${decision}`;
      const answer = view.parse(await new CentralClient(options).call("POST", path, { reason }));
      if (options.output === "table") process.stdout.write(`${drawRollout(answer)}\n`);
      else print(answer, options.output);
    });
  }
}

/** A version of gateways is a change like any other: written, read where its environment asks for that, rolled out. */
function addStart(rollout: Command, done: Run): void {
  addOutputOption(
    addConnectionOptions(
      rollout
        .command("start")
        .description(
          "Bring a version of gateways (plantgate release add) to an environment. Where that asks for review, somebody else approves it first.",
        )
        .requiredOption("--release <version>", "such as 1.2.0")
        .requiredOption("--environment <name>", "dev, test, prod")
        .option("--title <text>", "what it is for, in a line")
        .option("--waves <list>", "sites by number or share, one after the other: 1,10%,100%", parseWaves)
        .option("--window <duration>", "for so long a wave has to be healthy: 10m")
        .option("--untested <reason>", "why it goes there although it has not run in the environment before"),
    ),
  ).action(
    async (
      options: Options &
        Record<"release" | "environment", string> & { title?: string; untested?: string } & {
          waves?: object[];
          window?: string;
        },
    ): Promise<void> => {
      const { release, environment, title = `Gateways to ${release}`, untested, waves, window } = options;
      const strategy = { ...(waves ? { waves } : {}), ...(window === undefined ? {} : { gate: { window } }) };
      const client = new CentralClient(options);
      await showing(done, options, async () => {
        const written = changeAnswer.parse(
          await client.call("POST", "/v1/changes", { title, environment, release, untested, strategy }),
        );
        return client.call("POST", `/v1/changes/${written.number}/submit`, {});
      });
    },
  );
}

function parseWaves(value: string): object[] {
  return value.split(",").map((part) => {
    const [, number, share] = /^(\d{1,6})(%?)$/.exec(part.trim()) ?? [];
    if (number === undefined || Number(number) < 1)
      throw new InvalidArgumentError("Give numbers of sites or shares with commas between: 1,10%,100%.");
    return share === "%" ? { percent: Number(number) } : { count: Number(number) };
  });
}

/** A rollout for a person: one line a wave, then the sites that are not well. */
export function drawRollout(rollout: RolloutStatus): string {
  const { number, change, title, environment, state, summary: said, reason } = rollout;
  const head = `rollout ${number}  ${state}  ${said}\nchange ${change} to ${environment}: ${plain(title)}`;
  const waves = rollout.plan.map(({ wave, title: name, state: at, heldMs, windowMs, sites }) => {
    const held =
      at === "watching" || at === "updating" ? `  gate ${bar(heldMs, windowMs)} ${seconds(heldMs)} of ${seconds(windowMs)}` : "";
    return `  ${marks[at] ?? "?"} wave ${wave + 1}  ${name.padEnd(12)}  ${at.padEnd(8)}  ${tally(sites)}${held}`;
  });
  const ailing = rollout.plan
    .flatMap(({ sites }) => sites)
    .filter((site) => site.reason !== null)
    .map((site) => `    ${site.site}  ${site.state}  ${runs(site)}: ${plain(site.reason ?? "")}`);
  return [head, ...(reason === null ? [] : [`reason: ${plain(reason)}`]), ...waves, ...ailing].join("\n");
}

function runs(site: RolloutStatus["plan"][number]["sites"][number]): string {
  if (typeof site.toVersion !== "string") return `runs ${site.reportedRevision} of ${site.toRevision}`;
  return `runs ${plain(site.reportedVersion ?? "nothing")}, is to run ${plain(site.toVersion)}`;
}

const marks: Record<string, string> = { waiting: "·", updating: ">", watching: ">", passed: "+", failed: "x" };

function tally(sites: readonly { readonly state: string }[]): string {
  const counted = Map.groupBy(sites, ({ state }) => state);
  return [...counted].map(([state, own]) => `${own.length} ${state}`).join(", ");
}

function bar(done: number, all: number): string {
  const full = all === 0 ? 10 : Math.min(10, Math.floor((done / all) * 10));
  return `[${"#".repeat(full)}${" ".repeat(10 - full)}]`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

/** What others wrote moves no cursor and colours nothing. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
