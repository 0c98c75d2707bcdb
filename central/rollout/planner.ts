import { durationMs } from "../../protocol/index.ts";
import type { RolloutStrategy } from "../http/api/changes.ts";
import { count } from "./wording.ts";

/** What the waves' sites are held to, in milliseconds of running time and in counts. */
export interface RolloutLimits {
  readonly windowMs: number;
  readonly settleMs: number;
  readonly maxDeadLetters: number;
  readonly maxLagMs: number;
  readonly maxRestarts: number;
  readonly unreachableAfterMs: number;
  readonly unreachableThen: "continue" | "pause";
  readonly maxFailures: number;
}
export interface PlannedWave {
  readonly title: string;
  readonly sites: readonly string[];
}
/** A site that a change gives another configuration. */
export interface AffectedSite {
  readonly site: string;
  readonly isReachable: boolean;
}

/**
 * The waves of a rollout: each affected site is in exactly one. The same input gives the same waves. A site that a wave names is taken by no
 * count or percentage; those take sites within reach first, so that no silent site is a canary while another one could be, then by name.
 * Percentages are of all affected sites, counted with the waves before. What is left over is one more wave; empty waves are left out.
 */
export function planWaves(strategy: Pick<RolloutStrategy, "waves">, affected: readonly AffectedSite[]): PlannedWave[] {
  const known = new Set(affected.map(({ site }) => site));
  const named = new Set(strategy.waves.flatMap((wave) => ("sites" in wave ? wave.sites : [])));
  const free = affected
    .filter(({ site }) => !named.has(site))
    .toSorted((a, b) => Number(b.isReachable) - Number(a.isReachable) || compare(a.site, b.site))
    .map(({ site }) => site);
  const taken = new Set<string>();
  const take = (sites: readonly string[]): string[] => {
    const fresh = [...new Set(sites)].filter((site) => known.has(site) && !taken.has(site));
    for (const site of fresh) taken.add(site);
    return fresh;
  };
  const next = (most: number): string[] => take(free.filter((site) => !taken.has(site)).slice(0, Math.max(0, most)));

  const waves = strategy.waves.map((wave, index): PlannedWave => {
    if ("sites" in wave) return { title: "by name", sites: take(wave.sites) };
    if ("count" in wave)
      return { title: index === 0 && wave.count === 1 ? "canary" : count(wave.count, "site"), sites: next(wave.count) };
    const upTo = Math.ceil((affected.length * wave.percent) / 100 - 1e-9);
    return { title: wave.percent === 100 ? "all" : `${wave.percent} %`, sites: next(upTo - taken.size) };
  });
  const rest = take(affected.map(({ site }) => site).toSorted(compare));
  return [...waves, { title: "the rest", sites: rest }].filter(({ sites }) => sites.length > 0);
}

/** All at once: an urgent change does not wait for waves, but its sites are watched all the same. */
export function oneWave(affected: readonly AffectedSite[]): PlannedWave[] {
  const sites = affected.map(({ site }) => site).toSorted(compare);
  return sites.length === 0 ? [] : [{ title: "all at once", sites }];
}

export function limitsOf({ gate, unreachable, maxFailures }: RolloutStrategy): RolloutLimits {
  return {
    windowMs: durationMs(gate.window),
    settleMs: durationMs(gate.settle),
    maxDeadLetters: gate.maxDeadLetters,
    maxLagMs: durationMs(gate.maxLag),
    maxRestarts: gate.maxRestarts,
    unreachableAfterMs: durationMs(unreachable.after),
    unreachableThen: unreachable.then,
    maxFailures,
  };
}

/** By code units: the same on every machine, whatever its language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
