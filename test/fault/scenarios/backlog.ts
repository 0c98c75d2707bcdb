import { setTimeout as sleep } from "node:timers/promises";
import { faketimeLibrary, removeShared, WallClock } from "../clock/faketime.ts";
import type { Rates } from "../load/load.ts";
import { Rig } from "../plant/rig.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

const yearSeconds = 365.25 * 86_400;
const messages = { full: 300_000, quick: 8000 } as const;
const fillRates: Rates = { finishedQos1: 4000, finishedQos2: 400, shortages: 100, samplesQos1: 20_000, samplesQos2: 400 };
const fillWithinMs = 240_000;
/** Generous: it is there to find a start that grows with the backlog, on a machine that has other work as well. */
const startLimitMs = 15_000;

/** A gateway that was cut off for a year: what it recorded then is all still wanted. */
export const backlog: Scenario = {
  name: "backlog",
  purpose: "a queue whose messages were recorded a year ago is opened and drained",
  needs: ["libfaketime"],
  async run({ quick, folder, say, signal }: Context): Promise<Outcome> {
    const wanted = quick ? messages.quick : messages.full;
    const wallClock = new WallClock(folder, "gateway", faketimeLibrary() as string);
    await using shared = new AsyncDisposableStack();
    await using rig = await Rig.open({
      folder,
      env: { gateway: wallClock.env, central: {} },
      queue: { lanes: { telemetry: { maxAge: "30d" } } },
    });
    shared.defer(() => removeShared(rig.gateway.pids));
    const findings: string[] = [];
    await rig.gateway.kill("SIGTERM");
    wallClock.jump(-yearSeconds);
    rig.link.mode = "refused";
    await rig.gateway.start();
    const load = rig.startLoad(fillRates);
    const began = performance.now();
    while (load.acknowledged < wanted && performance.now() - began < fillWithinMs && !signal.aborted) {
      await sleep(100);
      say(`a year ago: ${load.acknowledged} messages`);
    }
    const filledSeconds = (performance.now() - began) / 1000;
    findings.push(...(await load.finish(60_000)));
    await rig.gateway.kill("SIGKILL");

    say("today");
    wallClock.jump(0);
    const starting = performance.now();
    await rig.gateway.start();
    const startMs = Math.round(performance.now() - starting);
    if (startMs > startLimitMs) findings.push(`the gateway took ${startMs} ms to start`);
    rig.link.mode = "open";
    const draining = performance.now();
    const { outcome } = await rig.judge({ stalledMs: 60_000 });
    const drainSeconds = (performance.now() - draining) / 1000;
    const oldest = await oldestYear(rig);
    const year = new Date(Date.now() - yearSeconds * 1000).getUTCFullYear();
    if (oldest !== year) findings.push(`the oldest message was recorded in ${oldest}, not in ${year}`);
    findings.push(
      ...rig.log.holes.map(({ lane, first, last, reason }) => `${lane} ${first} to ${last} was discarded: ${reason}`),
    );
    findings.push(...outcome.findings);
    return {
      ...outcome,
      held: findings.length === 0,
      findings,
      entry: {
        acknowledged: outcome.acknowledged,
        lost: outcome.lost,
        duplicates: outcome.duplicates,
        reordered: outcome.reordered,
        expired: rig.log.holes.length,
        startMs,
        filledPerSecond: Math.round(outcome.acknowledged / filledSeconds),
        drainedSeconds: Math.round(drainSeconds * 10) / 10,
      },
    };
  },
};

/** The year by the plant's clock in which the ledger's first message was recorded. */
async function oldestYear(rig: Rig): Promise<number> {
  const page = await rig.central.get<{ messages: { event: { recordedtime: string } }[] }>("/v1/messages?limit=1");
  return new Date(page.messages[0]?.event.recordedtime ?? 0).getUTCFullYear();
}
