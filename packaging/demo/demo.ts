import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../protocol/index.ts";
import { buildConsole } from "./console-build.ts";
import { runOutage } from "./outage.ts";
import { isFree } from "./ports.ts";
import { describeProgress, tallyOf } from "./progress.ts";
import { emptyFolder, type Stage, startStage } from "./stage.ts";

export interface DemoOptions {
  readonly outage: boolean;
  readonly dataDir: string;
  /** Move what an earlier run left aside instead of deleting it. The simulated systems start from nothing, so no run goes on with another's ledger. */
  readonly keep?: boolean;
  /** Of central and its console. */
  readonly port: number;
  readonly ordersPerSecond?: number;
}

/**
 * Runs central, two plants and the ERP's site with simulated systems until SIGINT or SIGTERM, or, with `outage`, the scripted outage to its
 * verdict. Resolves with the exit code once every program that it started has ended.
 */
export async function runDemo(
  options: DemoOptions,
  out: (text: string) => unknown = (text) => process.stdout.write(text),
): Promise<number> {
  const folder = resolve(options.dataDir);
  if (!(await isFree(options.port))) {
    out(
      `Port ${options.port} is taken: is the demo running already? Choose another one: npm start -- ${options.outage ? "--outage " : ""}--port ${options.port + 1}\n`,
    );
    return 1;
  }
  const asked = new AbortController();
  const ask = (): void => asked.abort();
  process.on("SIGINT", ask);
  process.on("SIGTERM", ask);
  let stage: Stage | undefined;
  try {
    if (options.keep && existsSync(folder)) {
      const aside = `${folder}-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
      renameSync(folder, aside);
      out(`What was in ${relative(process.cwd(), folder)} is in ${relative(process.cwd(), aside)} now\n`);
    }
    emptyFolder(folder);
    out("Building the console where it is needed …\n");
    await buildConsole();
    stage = await startStage(
      {
        folder,
        port: options.port,
        ordersPerSecond: options.ordersPerSecond ?? (options.outage ? 0.8 : 0.4),
        devicesPerPlant: 12,
        samplesPerSecond: 10,
        tell: (sentence) => out(`… ${sentence}\n`),
      },
      asked.signal,
    );
    if (asked.signal.aborted) return 0;
    writeConnection(options.port, stage.tokenFile);
    await invite(stage, folder, out);
    out("… waiting until every site runs its configuration\n");
    await Promise.race([untilConfigured(stage, asked.signal), stage.failed]);
    stage.run();
    if (options.outage) return await Promise.race([runOutage(stage, { folder, out }, asked.signal), stage.failed]);
    await Promise.race([watch(stage, out, asked.signal), stage.failed]);
    return 0;
  } catch (error) {
    if (asked.signal.aborted) return options.outage ? 1 : 0;
    out(`The demo ends: ${describeError(error)}\n`);
    return 1;
  } finally {
    // whatever still watches the stage ends with it
    asked.abort();
    await stage?.stop();
    process.off("SIGINT", ask);
    process.off("SIGTERM", ask);
  }
}

/** `plantgate push …` in this folder finds central by it. */
function writeConnection(port: number, tokenFile: string): void {
  mkdirSync(".plantgate", { recursive: true });
  writeFileSync(
    join(".plantgate", "cli.json"),
    `${JSON.stringify({ url: `http://127.0.0.1:${port}`, tokenFile: resolve(tokenFile) })}\n`,
    { mode: 0o600 },
  );
}

async function invite(stage: Stage, folder: string, out: (text: string) => unknown): Promise<void> {
  const configuration = join(relative(process.cwd(), folder) || ".", "config");
  out(
    [
      "",
      `Console, signed in:   ${await stage.central.signinLink()}`,
      `Configuration:        ${configuration} (edit it, then push)`,
      `Push a change:        npm run plantgate -- push lyon ${configuration}/sites/lyon.yaml ${configuration}/assembly-plant.yaml`,
      `Programs' output:     ${join(relative(process.cwd(), folder) || ".", "logs")}`,
      "Ctrl-C ends everything.",
      "",
      "",
    ].join("\n"),
  );
}

const inEffect: ReadonlySet<string> = new Set(["active", "watching"]);

/** An ERP whose plants are not there yet would only show a queue that fills. */
async function untilConfigured(stage: Stage, signal: AbortSignal): Promise<void> {
  for (const end = performance.now() + 90_000; ; await sleep(500, undefined, { signal })) {
    const { sites } = await stage.central.sites();
    const waiting = sites.filter(({ configurationState }) => !inEffect.has(configurationState));
    if (waiting.length === 0) return;
    if (performance.now() < end) continue;
    throw new Error(
      waiting
        .map(
          ({ name, configurationState, configurationReason }) =>
            `${name}: configuration ${configurationState} ${configurationReason ?? ""}`,
        )
        .join("; "),
    );
  }
}

async function watch(stage: Stage, out: (text: string) => unknown, signal: AbortSignal): Promise<void> {
  const since = new Date();
  while (!signal.aborted) {
    const answer = await stage.central.sites().catch(() => undefined);
    if (signal.aborted) return;
    out(answer ? `${describeProgress(tallyOf(stage), answer, since)}\n` : "central does not answer\n");
    await sleep(1000, undefined, { signal }).catch(() => {});
  }
}
