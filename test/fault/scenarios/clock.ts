import { setTimeout as sleep } from "node:timers/promises";
import { faketimeLibrary, removeShared, WallClock } from "../clock/faketime.ts";
import type { Rates } from "../load/load.ts";
import { Rig } from "../plant/rig.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const rates: Rates = { finishedQos1: 500, finishedQos2: 150, shortages: 50, samplesQos1: 1200, samplesQos2: 100 };
const yearSeconds = 365.25 * 86_400;
/** Years beside the true time: a battery that died, and a time server gone mad. */
const past = -30;
const future = 10;
const skewWithinMs = 20_000;
const skewToleranceMs = 60_000;

type Victim = "gateway" | "central";
interface Jump {
  readonly victim: Victim;
  readonly years: number;
  readonly restart: boolean;
}
const jumps: readonly Jump[] = [
  { victim: "gateway", years: past, restart: false },
  { victim: "gateway", years: past, restart: true },
  { victim: "gateway", years: future, restart: false },
  { victim: "gateway", years: future, restart: true },
  { victim: "gateway", years: 0, restart: false },
  { victim: "central", years: past, restart: false },
  { victim: "central", years: past, restart: true },
  { victim: "central", years: future, restart: false },
  { victim: "central", years: future, restart: true },
  { victim: "central", years: 0, restart: true },
];
const quickJumps = jumps.filter(({ years, restart }) => restart === years > 0 || years === 0);

/** Wall clocks jump by decades, of processes that run and across restarts; monotonic time goes on as it does on a real machine. */
export const clock: Scenario = {
  name: "clock",
  purpose: "wall clocks of gateway and central jump by -30 and +10 years",
  needs: ["libfaketime"],
  async run({ quick, folder, say, signal }: Context): Promise<Outcome> {
    const library = faketimeLibrary() as string;
    const clocks = { gateway: new WallClock(folder, "gateway", library), central: new WallClock(folder, "central", library) };
    const years = { gateway: 0, central: 0 };
    await using shared = new AsyncDisposableStack();
    await using rig = await Rig.open({
      folder,
      env: { gateway: clocks.gateway.env, central: clocks.central.env },
      // by the wall clock everything would be past this after a jump
      queue: { lanes: { telemetry: { maxAge: "1d" } } },
    });
    shared.defer(() => removeShared([...rig.gateway.pids, ...rig.central.pids]));
    const load = rig.startLoad(rates);
    const findings: string[] = [];
    const seen: Record<string, number | null>[] = [];
    for (const { victim, years: to, restart } of quick ? quickJumps : jumps) {
      if (signal.aborted) break;
      const what = `${victim} ${restart ? "restarts" : "runs"} at ${to} years`;
      say(`${what}, ${load.acknowledged} messages acknowledged`);
      const before = load.acknowledged;
      clocks[victim].jump(Math.round(to * yearSeconds));
      years[victim] = to;
      if (restart) {
        await rig[victim].kill();
        await rig[victim].start();
      }
      const expected = Math.round((years.central - years.gateway) * yearSeconds * 1000);
      const skewMs = await skewOf(rig, expected);
      seen.push({ gatewayYears: years.gateway, centralYears: years.central, skewMs });
      if (skewMs === null || Math.abs(skewMs - expected) > skewToleranceMs)
        findings.push(`${what}: /v1/sites shows a skew of ${skewMs} ms, it is ${expected} ms`);
      await sleep(quick ? 500 : 3000);
      if (load.acknowledged === before) findings.push(`${what}: nothing was acknowledged`);
    }
    say("draining");
    const { outcome } = await rig.judge({ stalledMs: 40_000 });
    findings.push(
      ...outcome.findings,
      ...rig.log.holes.map(({ lane, first, last, reason }) => `${lane} ${first} to ${last} was discarded: ${reason}`),
    );
    const { acknowledged, lost, duplicates, reordered } = outcome;
    return {
      ...outcome,
      held: findings.length === 0,
      findings,
      entry: { jumps: seen.length, acknowledged, lost, duplicates, reordered, discarded: rig.log.holes.length, skews: seen },
    };
  },
};

/** The skew that central shows, as soon as it is what it should be; the last one at the deadline. */
async function skewOf(rig: Rig, expectedMs: number): Promise<number | null> {
  const end = performance.now() + skewWithinMs;
  for (;;) {
    const answer = await rig.central
      .get<{ sites: { name: string; clockSkewMs: number | null }[] }>("/v1/sites")
      .catch(() => ({ sites: [] as { name: string; clockSkewMs: number | null }[] }));
    const skew = answer.sites.find(({ name }) => name === rig.gateway.site)?.clockSkewMs ?? null;
    if (skew !== null && Math.abs(skew - expectedMs) <= skewToleranceMs) return skew;
    if (performance.now() > end) return skew;
    await sleep(100);
  }
}
