import type { Random } from "./random.ts";

/** What a scenario gets to work with. */
export interface Context {
  /** A few of each, for CI. */
  readonly quick: boolean;
  /** Only those of its cases whose names hold this. */
  readonly only?: string | undefined;
  readonly random: Random;
  /** An empty folder of its own, removed afterwards. */
  readonly folder: string;
  /** What it is doing, for a person who waits. */
  say(line: string): void;
  readonly signal: AbortSignal;
}

/** What a scenario found. The counts are over all that was acknowledged in it. */
export interface Outcome {
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly reordered: number;
  /** Whether everything that it promises held; the reasons are in `findings`. */
  readonly held: boolean;
  /** For a person: what did not hold, a few lines. */
  readonly findings: readonly string[];
  /** Its own entry in the report; counts and sizes with their units. */
  readonly entry: Readonly<Record<string, unknown>>;
}

export interface Scenario {
  readonly name: string;
  readonly purpose: string;
  /** Programs and devices without which it cannot run. */
  readonly needs: readonly Need[];
  /** It measures times: nothing else may run beside it. */
  readonly alone?: true;
  run(context: Context): Promise<Outcome>;
}

export type Need = "root" | "loop" | "libfaketime";
