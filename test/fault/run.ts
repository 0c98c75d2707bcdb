import { mkdtemp, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { cleanAtExit, folderPrefix, sweepTheDead } from "./leftovers.ts";
import { missing } from "./needs.ts";
import { Random } from "./random.ts";
import { printReport, type Result } from "./report.ts";
import type { Context, Scenario } from "./scenario.ts";
import { backlog } from "./scenarios/backlog.ts";
import { clock } from "./scenarios/clock.ts";
import { damage } from "./scenarios/damage.ts";
import { disk } from "./scenarios/disk.ts";
import { fork } from "./scenarios/fork.ts";
import { kills } from "./scenarios/kills.ts";
import { link } from "./scenarios/link.ts";
import { power } from "./scenarios/power.ts";
import { storm } from "./scenarios/storm.ts";
import { openScreen } from "./screen.ts";

const scenarios: readonly Scenario[] = [kills, power, disk, damage, link, clock, backlog, storm, fork];

/** No scenario takes longer, whatever hangs. */
const limitMs = { quick: 300_000, full: 1_500_000 } as const;

interface Options {
  readonly quick?: boolean;
  readonly json?: boolean;
  readonly seed?: number;
  readonly case?: string;
}

/** Runs one command line; resolves with the exit code. 1: something was lost, doubled, reordered or unreported, or could not be tried. */
export async function runFaults(argv: readonly string[]): Promise<number> {
  const names = scenarios.map(({ name }) => name);
  const program = new Command("fault")
    .description(
      "Does to whole gateway and central processes what plants do to them, and judges what became of every acknowledged message.",
    )
    .argument("<scenario>", `all, or one of ${names.join(", ")}`)
    .option("--quick", "a few of each, for CI")
    .option("--json", "the last line of standard output is one JSON object")
    .option("--seed <n>", "repeat a run's random choices", parseSeed)
    .option("--case <text>", "of damage, only the cases whose names hold this")
    .addHelpText("after", `\n${scenarios.map(({ name, purpose }) => `  ${name.padEnd(9)} ${purpose}`).join("\n")}`)
    .exitOverride();
  try {
    program.parse(argv as string[]);
  } catch (error) {
    return (error as { exitCode?: number }).exitCode === 0 ? 0 : 2;
  }
  const [chosen = ""] = program.args;
  const options = program.opts<Options>();
  const selected = chosen === "all" ? scenarios : scenarios.filter(({ name }) => name === chosen);
  if (selected.length === 0) {
    process.stderr.write(`fault: there is no scenario "${chosen}"; there are all, ${names.join(", ")}\n`);
    return 2;
  }
  const stopping = new AbortController();
  process.once("SIGINT", () => stopping.abort());
  process.once("SIGTERM", () => stopping.abort());
  const seed = options.seed ?? Math.floor(Math.random() * 0x7fffffff);
  const screen = openScreen();
  screen.line(`seed ${seed} (--seed ${seed} repeats the choices)`);
  sweepTheDead();
  cleanAtExit();
  const quick = options.quick ?? false;
  const results = await runAll(selected, quick ? 3 : 1, (scenario) =>
    runOne(scenario, { quick, only: options.case, seed, signal: stopping.signal }, screen),
  );
  const code = printReport(results, { all: chosen === "all", json: options.json ?? false, seed });
  // whatever hangs would keep the process; what it holds is cleaned up at its exit
  if (results.some(({ overran }) => overran)) process.exit(code);
  return code;
}

/** So many side by side: most of their time is waiting. What has to be alone comes last. */
async function runAll(
  selected: readonly Scenario[],
  atOnce: number,
  run: (scenario: Scenario) => Promise<Result>,
): Promise<readonly Result[]> {
  const results = new Map<Scenario, Result>();
  const hangs = (): boolean => [...results.values()].some(({ overran }) => overran);
  const waiting = selected.filter(({ alone }) => !alone);
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !hangs(); next = waiting.shift()) results.set(next, await run(next));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  for (const scenario of selected) if (scenario.alone && !hangs()) results.set(scenario, await run(scenario));
  return selected.flatMap((scenario) => results.get(scenario) ?? []);
}

async function runOne(
  scenario: Scenario,
  { quick, only, seed, signal }: Pick<Context, "quick" | "only" | "signal"> & { seed: number },
  screen: ReturnType<typeof openScreen>,
): Promise<Result> {
  const { name } = scenario;
  if (signal.aborted) return { name, seconds: 0, failure: "stopped" };
  const lacking = await missing(scenario.needs);
  if (lacking.length > 0) {
    screen.line(`${name}: cannot run here: ${lacking.join("; ")}`);
    return { name, seconds: 0, failure: `cannot run here: ${lacking.join("; ")}` };
  }
  const folder = await mkdtemp(folderPrefix(name));
  const began = performance.now();
  const seconds = (): number => Math.round((performance.now() - began) / 100) / 10;
  screen.line(`${name}: ${scenario.purpose}`);
  try {
    const random = new Random(seed).fork(name);
    const say = (line: string): void => screen.status(`${name}: ${line}`);
    const outcome = await Promise.race([scenario.run({ quick, only, random, folder, say, signal }), overrun(quick)]);
    if (signal.aborted) return { name, seconds: seconds(), failure: "stopped" };
    if (outcome === undefined) {
      screen.line(`${name}: STOPPED: it did not end in ${seconds()} s`);
      return { name, seconds: seconds(), failure: "it did not end in time", overran: true };
    }
    screen.line(`${name}: ${outcome.held ? "held" : "DID NOT HOLD"} after ${seconds()} s`);
    for (const finding of outcome.findings) screen.line(`${name}:   ${finding}`);
    return { name, seconds: seconds(), outcome };
  } catch (error) {
    const failure = told(error);
    screen.line(`${name}: FAILED after ${seconds()} s: ${failure}`);
    return { name, seconds: seconds(), failure };
  } finally {
    // what still hangs in it is cleaned up at the exit
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** With what it keeps back: the first thing that went wrong is often the one that counts. */
function told(error: unknown): string {
  if (error instanceof SuppressedError) return `${told(error.suppressed)}\nand then: ${told(error.error)}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function overrun(quick: boolean): Promise<undefined> {
  return sleep(quick ? limitMs.quick : limitMs.full, undefined, { ref: false });
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (!Number.isInteger(seed) || seed < 0) throw new InvalidArgumentError("a whole number");
  return seed;
}
