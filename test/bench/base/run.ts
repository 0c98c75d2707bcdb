import type { Report } from "./report.ts";

/** What a person asked for on the command line. */
export interface RunOptions {
  readonly rounds?: number;
  readonly messages?: number;
  readonly peers: boolean;
  /** So little that the figures mean nothing: does it run at all? */
  readonly quick: boolean;
  readonly report: Report;
}

/** What a part of the bench came to. */
export interface RunResult {
  /** The JSON that programs read. */
  readonly figures: Readonly<Record<string, unknown>>;
  /** Messages that were acknowledged and are not there, and such that are there twice or in another order: of all systems of ours. */
  readonly wrong: number;
}

/** Runs each system once a round, each round beginning with another one, so that none always has the quieter machine. */
export async function interleave<Name extends string, Value>(
  rounds: number,
  systems: readonly (readonly [Name, () => Promise<Value>])[],
  report: Report,
): Promise<Map<Name, Value[]>> {
  const results = new Map<Name, Value[]>(systems.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < systems.length; at++) {
      const system = systems[(at + round) % systems.length];
      if (!system) continue;
      report.progress(`round ${round + 1} of ${rounds}: ${system[0]}`);
      results.get(system[0])?.push(await system[1]());
    }
  }
  return results;
}
