import { type Clock, type Lane, lanes } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A backlog that does not shrink for so long is said to be stalled: connected, but not draining (P11). */
const stalledAfterMs = 20_000;

interface Movement {
  movedAt: number;
  problem: string | undefined;
  logged: boolean;
}

/** Whether each lane's backlog gets through, and what was last in its way. */
export class UplinkProgress {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #lanes: ReadonlyMap<Lane, Movement>;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#lanes = new Map(lanes.map((lane) => [lane, { movedAt: clock.monotonic(), problem: undefined, logged: false }]));
  }

  /** Something was acknowledged, or nothing waits. */
  moved(lane: Lane): void {
    const movement = this.#of(lane);
    if (movement.logged) this.#log.info({ event: "uplink.lane.drainsAgain", lane }, "the lane's backlog gets through again");
    Object.assign(movement, { movedAt: this.#clock.monotonic(), problem: undefined, logged: false });
  }

  /** What is in the way now, for a person. */
  hindered(lane: Lane, problem: string): void {
    this.#of(lane).problem = problem;
  }

  /** Why a backlog does not get through, once it is for long enough; undefined while it does. */
  stalled(lane: Lane): string | undefined {
    const movement = this.#of(lane);
    const forMs = this.#clock.monotonic() - movement.movedAt;
    if (forMs < stalledAfterMs) return undefined;
    const reason = movement.problem ?? "central does not answer the batches that are under way";
    const stalled = `${reason} (for ${Math.floor(forMs / 1000)} s)`;
    if (!movement.logged)
      this.#log.error(
        { event: "uplink.lane.stalled", lane, reason, forMs: Math.round(forMs) },
        "connected to central, but nothing of this lane's backlog gets through",
      );
    movement.logged = true;
    return stalled;
  }

  #of(lane: Lane): Movement {
    return this.#lanes.get(lane) as Movement;
  }
}
