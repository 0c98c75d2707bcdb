import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { terminalStates } from "../../../central/rollout/state.ts";
import { decide, step } from "../../../central/rollout/step.ts";
import { type Behaviour, World } from "./world.ts";

const sites = ["a", "b", "c", "d", "e", "f", "g"];
const behaviour = fc.constantFrom<Behaviour>(
  ...([
    "good",
    "good",
    "good",
    "good",
    "refuses",
    "gives-back",
    "dead-letters",
    "connector-down",
    "crashes",
    "never",
    "falls-silent",
  ] as const),
);

/** What happens in a plant, to a person or to time between two looks. */
type Happening =
  | { readonly kind: "look"; readonly elapsedMs: number }
  | { readonly kind: "offline" | "online" | "revoked" | "restarts"; readonly site: string }
  | { readonly kind: "becomes"; readonly site: string; readonly behaviour: Behaviour }
  | { readonly kind: "pause" | "resume" | "abort" };
const site = fc.constantFrom(...sites);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 60, arbitrary: fc.record({ kind: fc.constant("look" as const), elapsedMs: fc.integer({ min: 0, max: 5000 }) }) },
  {
    weight: 15,
    arbitrary: fc.record({ kind: fc.constantFrom("offline" as const, "online" as const, "restarts" as const), site }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("revoked" as const), site }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("becomes" as const), site, behaviour }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom("pause" as const, "resume" as const) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "abort" as const }) },
);
const cuts = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 });

describe("whatever happens in the plants and to whoever decides,", () => {
  it("a rollout keeps its rules, and ends", () => {
    fc.assert(
      fc.property(
        cuts,
        fc.array(happening, { maxLength: 120 }),
        fc.nat(2),
        fc.constantFrom("continue" as const, "pause" as const),
        (sizes, script, maxFailures, unreachableThen) => {
          const world = new World(wavesOf(sizes), { maxFailures, unreachableThen });
          for (const each of script) happen(world, each);
          // what goes on without people ends; where a person is asked, one answers
          for (let answers = 0; !terminalStates.includes(world.rollout.state); answers++) {
            expect(answers, `stands still in ${world.rollout.state}: ${world.states()}`).toBeLessThan(20);
            for (let looks = 0; looks < 400 && world.rollout.state !== "paused" && !isOver(world); looks++) lookAt(world, 1000);
            happen(world, { kind: "resume" });
          }
          judgeEnd(world, maxFailures);
        },
      ),
      { numRuns: 400 },
    );
  });
});

function wavesOf(sizes: readonly number[]): string[][] {
  return sizes
    .map((size, index) => {
      const before = sizes.slice(0, index).reduce((sum, each) => sum + each, 0);
      return sites.slice(before, before + size);
    })
    .filter((wave) => wave.length > 0);
}

function isOver(world: World): boolean {
  return terminalStates.includes(world.rollout.state);
}

function happen(world: World, each: Happening): void {
  if (each.kind === "look") return lookAt(world, each.elapsedMs);
  if (!("site" in each)) {
    const input = { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "a person" };
    const outcome = decide(each.kind, input);
    if (outcome) world.take(outcome);
    return;
  }
  const plant = world.plants.get(each.site);
  if (!plant) return;
  if (each.kind === "offline") plant.online = false;
  if (each.kind === "online") plant.online = true;
  if (each.kind === "revoked") plant.link = "revoked";
  if (each.kind === "restarts") plant.startedAt += 1;
  if (each.kind === "becomes") plant.behaviour = each.behaviour;
}

function lookAt(world: World, elapsedMs: number): void {
  const before = { rollout: world.rollout, sites: world.sites };
  const outcome = world.look(elapsedMs);
  const { wave, state } = outcome.rollout;
  // no site beyond the wave is told, and no wave begins while one before it is open
  expect(outcome.sites.filter((each) => each.wave > wave).every((each) => each.state === "waiting")).toBe(true);
  expect(wave - before.rollout.wave).toBeLessThanOrEqual(1);
  if (wave > before.rollout.wave) {
    const earlier = outcome.sites.filter((each) => each.wave < wave).map((each) => each.state);
    expect(earlier).not.toContain("told");
    expect(earlier).not.toContain("watching");
    expect(before.rollout.state).toBe("running");
    // a wave that nobody could watch proves nothing: only a person lets it pass
    const ofWave = outcome.sites.filter((each) => each.wave === before.rollout.wave);
    const isWaived = before.rollout.plan.waves[before.rollout.wave]?.waived === true;
    expect(isWaived || ofWave.some((each) => each.state === "healthy")).toBe(true);
  }
  if (before.rollout.state === "paused")
    expect(outcome.desires.every(({ to }) => "revision" in to && to.revision === 1)).toBe(true);
  for (const each of outcome.sites) expect([1, 2]).toContain(world.plant(each.site).desired);
  // who fails is told to go back in the same look, and nobody is told the new one again
  for (const each of outcome.sites) {
    const old = before.sites.find((other) => other.site === each.site)?.state;
    if (old === "failed" || old === "put-back" || old === "putting-back") expect(world.plant(each.site).desired).toBe(1);
  }
  if (terminalStates.includes(before.rollout.state)) {
    expect(outcome).toMatchObject({ rollout: before.rollout, sites: before.sites, desires: [], events: [] });
  }
  if (state === "putting-back" || state === "aborted" || state === "rolled-back")
    for (const each of outcome.sites) expect(world.plant(each.site).desired, each.site).toBe(1);
}

function judgeEnd(world: World, maxFailures: number): void {
  const failed = world.sites.filter(({ state }) => state === "failed" || state === "put-back");
  if (world.rollout.state === "done") {
    expect(failed.length).toBeLessThanOrEqual(maxFailures);
    for (const each of world.sites) {
      expect(["healthy", "pending", "failed", "put-back"]).toContain(each.state);
      // whoever is out of reach gets the newest when it returns, and nothing older
      if (each.state === "pending" || each.state === "healthy") expect(world.plant(each.site).desired).toBe(2);
      else expect(world.plant(each.site).desired).toBe(1);
    }
  } else for (const each of world.sites) expect(world.plant(each.site).desired).toBe(1);
  const again = step({ rollout: world.rollout, sites: world.sites, facts: world.facts(), elapsedMs: 60_000 });
  expect(again).toMatchObject({ rollout: world.rollout, sites: world.sites, desires: [], events: [] });
}
