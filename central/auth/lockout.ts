import { isIPv6 } from "node:net";
import type { Clock } from "../../protocol/index.ts";

/** Wrong passwords in a row that cost nothing but the time to type them. */
const freeTries = 5;
const firstLockMs = 30_000;
/** Shorter than what a source needs for its next tries, so that no one source keeps a user out for ever. */
export const longestLockMs = 15 * 60_000;

/** How long a user is locked after so many wrong passwords since the last right one: doubled with each. */
export function lockMs(failures: number): number {
  return failures < freeTries ? 0 : Math.min(firstLockMs * 2 ** (failures - freeTries), longestLockMs);
}

/** A lock that reaches further than any lock does is of a clock that has been ahead: over. */
export function isLocked(row: { readonly locked_until: number | null }, now: number): row is { readonly locked_until: number } {
  return row.locked_until !== null && now < row.locked_until && row.locked_until - now <= longestLockMs;
}

/** Wrong tries that a source has at once, and how long until it has one more. */
const burst = 20;
const refillMs = 30 * 60_000;
/** Sources that are remembered; past it the one that tried longest ago is forgotten. */
const mostSources = 10_000;

/**
 * Bounds wrong tries per source address, by running time: whoever guesses is stopped at the source before locks of users come of it. Each replica
 * counts for itself.
 */
export class Sources {
  readonly #clock: Clock;
  /** When the last of its tries will have been given back, and whether it was told that it has none. */
  readonly #known = new Map<string, { readonly fullAt: number; readonly refused: boolean }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Takes one try; given back with {@link giveBack} where it was a right one.
   * @returns `overMs`: 0, or how long until there is one; `begins`: it had none left just now
   */
  take(source: string): { readonly overMs: number; readonly begins: boolean } {
    const key = keyOf(source);
    // whole milliseconds: fractions, added up twenty times, round, and a source would now and then have one try less
    const now = Math.floor(this.#clock.monotonic());
    const before = this.#known.get(key);
    const fullAt = Math.max(before?.fullAt ?? now, now) + refillMs;
    const overMs = fullAt - now - burst * refillMs;
    if (overMs > 0 && before) {
      this.#known.set(key, { ...before, refused: true });
      return { overMs, begins: !before.refused };
    }
    this.#known.delete(key);
    this.#known.set(key, { fullAt, refused: false });
    if (this.#known.size > mostSources) this.#known.delete(this.#known.keys().next().value as string);
    return { overMs: 0, begins: false };
  }

  giveBack(source: string): void {
    const key = keyOf(source);
    const before = this.#known.get(key);
    if (before) this.#known.set(key, { ...before, fullAt: before.fullAt - refillMs });
  }
}

/** Of IPv6 the network: whoever has one address of it has all. */
function keyOf(source: string): string {
  if (!isIPv6(source)) return source;
  const [head = "", tail] = (source.split("%")[0] ?? "").split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups =
    tail === undefined ? before : [...before, ...Array<string>(8 - before.length - after.length).fill("0"), ...after];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "").toLowerCase())
    .join(":");
}
