import type { Host } from "../plant/host.ts";
import { areCompatible, isVisible, type Seed, stoppedSeed } from "./seed.ts";

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomBy(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** So many that can be wrong at once, and each be seen. */
export function pick<On extends Host>(seeds: readonly Seed<On>[], count: number, random: () => number): Seed<On>[] {
  const shuffled = seeds.map((seed) => ({ seed, at: random() })).toSorted((one, other) => one.at - other.at);
  const stopped = seeds.find(({ name }) => name === stoppedSeed);
  const set: Seed<On>[] = [];
  for (const { seed } of shuffled) {
    const wanted = seed.whileStopped && stopped && !set.includes(stopped) ? [stopped, seed] : [seed];
    const fits = wanted.every((each) => !set.includes(each) && set.every((other) => areCompatible(each, other)));
    const next = [...set, ...wanted];
    if (fits && next.length <= count && next.every((each) => isVisible(each, next))) set.push(...wanted);
  }
  return set;
}
