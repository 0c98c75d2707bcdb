import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rolloutStrategy } from "../../../central/http/api/changes.ts";
import { limitsOf, oneWave, planWaves } from "../../../central/rollout/planner.ts";

const fleet = (online: number, offline = 0) => [
  ...Array.from({ length: offline }, (_, index) => ({ site: `a-off-${index}`, isReachable: false })),
  ...Array.from({ length: online }, (_, index) => ({ site: `plant-${String(index).padStart(3, "0")}`, isReachable: true })),
];
const sizes = (waves: readonly { sites: readonly string[] }[]) => waves.map(({ sites }) => sites.length);

describe("waves of a rollout", () => {
  it("are a canary, then a tenth of all with it, then all, unless a change says otherwise", () => {
    const waves = planWaves(rolloutStrategy.parse({}), fleet(50));
    expect(sizes(waves)).toEqual([1, 4, 45]);
    expect(waves.map(({ title }) => title)).toEqual(["canary", "10 %", "all"]);
  });

  it("take named sites where they are named, and never as somebody else's canary", () => {
    const waves = planWaves({ waves: [{ count: 1 }, { sites: ["plant-000", "nowhere"] }] }, fleet(3));
    expect(waves).toEqual([
      { title: "canary", sites: ["plant-001"] },
      { title: "by name", sites: ["plant-000"] },
      { title: "the rest", sites: ["plant-002"] },
    ]);
  });

  it("choose no silent site as a canary while another one is within reach", () => {
    expect(planWaves({ waves: [{ count: 1 }] }, fleet(2, 2))[0]?.sites).toEqual(["plant-000"]);
    expect(planWaves({ waves: [{ count: 1 }] }, fleet(0, 2))[0]?.sites).toEqual(["a-off-0"]);
  });

  it("are one where a change is urgent", () => {
    expect(oneWave(fleet(1, 1))).toEqual([{ title: "all at once", sites: ["a-off-0", "plant-000"] }]);
    expect(oneWave([])).toEqual([]);
  });

  it("hold every affected site exactly once, in the same order whatever the order of the input", () => {
    const wave = fc.oneof(
      fc.record({ sites: fc.array(fc.constantFrom("plant-000", "plant-003", "a-off-1", "nowhere"), { minLength: 1 }) }),
      fc.record({ count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ percent: fc.integer({ min: 1, max: 100 }) }),
    );
    fc.assert(
      fc.property(fc.array(wave, { maxLength: 6 }), fc.nat(20), fc.nat(5), fc.integer(), (waves, online, offline, seed) => {
        const affected = fleet(online, offline);
        const planned = planWaves({ waves }, affected);
        const all = planned.flatMap(({ sites }) => sites);
        expect(all.toSorted()).toEqual(affected.map(({ site }) => site).toSorted());
        expect(planned.every(({ sites }) => sites.length > 0)).toBe(true);
        const shuffled = affected.toSorted((a, b) => hash(a.site, seed) - hash(b.site, seed));
        expect(planWaves({ waves }, shuffled)).toEqual(planned);
      }),
    );
  });

  it("have limits in running time", () => {
    const strategy = rolloutStrategy.parse(JSON.parse('{"gate":{"window":"90s"},"unreachable":{"after":"1h","then":"pause"}}'));
    expect(limitsOf(strategy)).toMatchObject({
      windowMs: 90_000,
      settleMs: 120_000,
      unreachableAfterMs: 3_600_000,
      unreachableThen: "pause",
    });
  });
});

function hash(text: string, seed: number): number {
  return [...text].reduce((sum, letter) => Math.imul(sum ^ letter.charCodeAt(0), 16_777_619), seed);
}
