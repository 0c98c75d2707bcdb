import { type Clock, type Lane, lanes } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A backlog of which central acknowledges nothing for so long is said to be stalled: connected, but not draining (P11). */
const stalledAfterMs = 20_000;

/** Between two sessions there may be as much: a link that is away for no longer than that is one that nothing gets through. */
const betweenSessionsMs = 5000;

/** A lane of the uplink, or what comes from central. */
type Way = Lane | "downlink";

interface Movement {
  /** Nothing waits: there is nothing that could move. */
  atRest: boolean;
  /** By running time without that without a link. */
  movedAt: number;
  /** Since when there is no link. */
  awaySince: number | undefined;
  problem: string | undefined;
  logged: boolean;
}

/** Whether what waits gets through on each way, and what was last in the way of it. */
export class LinkProgress {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ways: ReadonlyMap<Way, Movement>;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#ways = new Map(
      [...lanes, "downlink" as const].map((way) => [
        way,
        { atRest: false, movedAt: clock.monotonic(), awaySince: undefined, problem: undefined, logged: false },
      ]),
    );
  }

  /** Something was acknowledged or taken. */
  moved(way: Way): void {
    const movement = this.#of(way);
    if (movement.logged) this.#log.info({ event: "link.way.drainsAgain", way }, "what waits gets through again");
    Object.assign(movement, { atRest: false, movedAt: this.#clock.monotonic(), problem: undefined, logged: false });
  }

  /** Nothing waits: until something does, the way is not stalled, however long that is. */
  rests(way: Way): void {
    this.moved(way);
    this.#of(way).atRest = true;
  }

  /** Something waits, or may. */
  waits(way: Way): void {
    if (this.#of(way).atRest) this.moved(way);
  }

  /** There is no link: what waits is not stalled by that, if it lasts. */
  away(way: Way): void {
    this.#of(way).awaySince ??= this.#clock.monotonic();
  }

  /** There is a link again. What gets through none of several sessions is stalled by all of them together. */
  back(way: Way): void {
    const movement = this.#of(way);
    movement.movedAt += this.#awayMs(movement);
    movement.awaySince = undefined;
  }

  /** What is in the way now, for a person. */
  hindered(way: Way, problem: string): void {
    this.#of(way).problem = problem;
  }

  /** That is not in the way any more. */
  cleared(way: Way, problem: string): void {
    const movement = this.#of(way);
    if (movement.problem === problem) movement.problem = undefined;
  }

  /** Why a backlog does not get through, once it is for long enough; undefined while it does. */
  stalled(way: Way): string | undefined {
    const movement = this.#of(way);
    if (movement.atRest) return undefined;
    const forMs = this.#clock.monotonic() - movement.movedAt - this.#awayMs(movement);
    // a poll without an answer is one for which there was nothing
    if (forMs < stalledAfterMs || (way === "downlink" && movement.problem === undefined)) return undefined;
    const reason = movement.problem ?? "central does not answer the batches that are under way";
    const stalled = `${reason} (for ${Math.floor(forMs / 1000)} s)`;
    if (!movement.logged)
      this.#log.error(
        { event: "link.way.stalled", way, reason, forMs: Math.round(forMs) },
        "connected to central, but nothing of what waits gets through",
      );
    movement.logged = true;
    return stalled;
  }

  /** The ways that are stalled, and why. */
  stalledWays(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      [...this.#ways.keys()].flatMap((way) => {
        const reason = this.stalled(way);
        return reason === undefined ? [] : [[way, reason]];
      }),
    );
  }

  #awayMs({ awaySince }: Movement): number {
    const ms = awaySince === undefined ? 0 : this.#clock.monotonic() - awaySince;
    return ms > betweenSessionsMs ? ms : 0;
  }

  #of(way: Way): Movement {
    return this.#ways.get(way) as Movement;
  }
}
