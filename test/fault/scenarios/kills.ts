import { setTimeout as sleep } from "node:timers/promises";
import { Rig } from "../plant/rig.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

/** Between two kills: now and then the next one comes while a process still starts, else when both have run for a while. */
const life = { shortMs: [20, 600], longMs: [300, 2700], shortChance: 0.15 } as const;

/** Messages that a whole run is to have acknowledged, and how long the load goes on for that after the last kill. */
const wanted = { messages: 850_000, withinMs: 480_000 } as const;

/** SIGKILL at random moments, gateway and central mixed, each started again at once, while the load goes on. */
export const kills: Scenario = {
  name: "kills",
  purpose: "SIGKILL of gateway and central at random moments",
  needs: [],
  async run({ quick, random, folder, say, signal }: Context): Promise<Outcome> {
    const count = quick ? 8 : 200;
    await using rig = await Rig.open({ folder });
    const load = rig.startLoad();
    const done = { gateway: 0, central: 0, both: 0 };
    const start = async (victim: "gateway" | "central"): Promise<void> => {
      // killed while it starts: the next life tells whether that was harmless
      await rig[victim].start().catch(() => {});
    };
    const starting = new Map<string, Promise<void>>();
    for (let killed = 0; killed < count && !signal.aborted; ) {
      const short = random.chance(life.shortChance);
      if (!short) await Promise.all(starting.values());
      const [low, high] = short ? life.shortMs : life.longMs;
      await sleep(random.integer(low, high));
      const choice = random.pick(["gateway", "gateway", "gateway", "central", "central", "both"] as const);
      const victims = choice === "both" ? (["gateway", "central"] as const) : [choice];
      done[choice] += 1;
      killed += victims.length;
      await Promise.all(victims.map((victim) => rig[victim].kill()));
      for (const victim of victims) {
        await starting.get(victim);
        starting.set(victim, start(victim));
      }
      say(`kill ${killed} of ${count} (${choice}), ${load.acknowledged} messages acknowledged`);
    }
    await Promise.all(starting.values());
    const end = performance.now() + wanted.withinMs;
    while (!quick && load.acknowledged < wanted.messages && performance.now() < end && !signal.aborted) {
      say(`the load goes on, ${load.acknowledged} messages acknowledged`);
      await sleep(500);
    }
    say("draining");
    const { outcome } = await rig.judge({ settleMs: 120_000, stalledMs: 60_000 });
    const entry = {
      kills: done.gateway + done.central + 2 * done.both,
      ofGateway: done.gateway + done.both,
      ofCentral: done.central + done.both,
      lost: outcome.lost,
      duplicates: outcome.duplicates,
      reordered: outcome.reordered,
      acknowledged: outcome.acknowledged,
      troubles: load.troubles,
    };
    return { ...outcome, held: outcome.findings.length === 0, entry };
  },
};
