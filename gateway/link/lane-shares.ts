import { type Clock, type Lane, type QueuePolicy, systemClock } from "../../protocol/index.ts";
import { ByteRate } from "./byte-rate.ts";

/** Batches under way at once, of all lanes, and of one. */
const maxTogether = 6;
export const maxPerLane = 4;

interface Waiting {
  readonly lane: Lane;
  readonly bytes: number;
  readonly go: () => void;
}

/**
 * Who may send next, while more want to than the link takes: each lane gets its weight's share of the bytes (weighted fair queueing), and a
 * transaction never waits while none is under way, so that a live one goes at once past a backlog of samples (P7). Where the link is limited to so
 * many bytes a second, a turn is given only when they are there: to a live transaction first.
 */
export class LaneShares {
  readonly #waiting: Waiting[] = [];
  readonly #underWay = new Map<Lane, number>();
  /** Bytes sent, divided by the weight: the lane that is furthest behind goes next. */
  readonly #served = new Map<Lane, number>();
  readonly #clock: Clock;
  readonly #rate: ByteRate;
  #weights: Readonly<Record<Lane, number>>;
  #together = 0;
  /** Ends the wait for bytes, while there is one. */
  #pause: AbortController | undefined;

  constructor(weights: Readonly<Record<Lane, number>>, clock: Clock = systemClock) {
    this.#weights = weights;
    this.#clock = clock;
    this.#rate = new ByteRate(clock);
  }

  /** Holds from the next turn on. */
  configure(weights: Readonly<Record<Lane, number>>): void {
    this.#weights = weights;
  }

  /** Undefined: without a limit. Holds from the next turn on, also for those that wait. */
  limit(bytesPerSecond: number | undefined): void {
    this.#rate.configure(bytesPerSecond);
    this.#endPause();
    this.#grant();
  }

  /** Whoever waits now waits for the limit, and not for others to end. */
  get isLimited(): boolean {
    return this.#pause !== undefined;
  }

  /** Resolves with true when the lane may send one batch of `bytes`, with false when the signal aborts. */
  turn(lane: Lane, bytes: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const abort = (): void => {
        const at = this.#waiting.indexOf(entry);
        if (at !== -1) this.#waiting.splice(at, 1);
        if (this.#waiting.length === 0) this.#endPause();
        resolve(false);
      };
      const entry: Waiting = {
        lane,
        bytes,
        go: () => {
          signal.removeEventListener("abort", abort);
          resolve(true);
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      // a lane that was idle starts level with the others, it has saved up nothing
      const others = this.#waiting.filter((each) => each.lane !== lane).map((each) => this.#served.get(each.lane) ?? 0);
      if (!this.#underWay.get(lane) && others.length > 0)
        this.#served.set(lane, Math.max(this.#served.get(lane) ?? 0, Math.min(...others)));
      this.#waiting.push(entry);
      this.#grant();
    });
  }

  /** A batch that had its turn is over. */
  done(lane: Lane): void {
    this.#together -= 1;
    this.#underWay.set(lane, (this.#underWay.get(lane) ?? 1) - 1);
    this.#grant();
  }

  #grant(): void {
    for (let next = this.#next(); next; next = this.#next()) {
      const waitMs = this.#rate.waitMs();
      if (waitMs > 0) return this.#grantIn(waitMs);
      this.#rate.took(next.bytes);
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#together += 1;
      this.#underWay.set(next.lane, (this.#underWay.get(next.lane) ?? 0) + 1);
      this.#served.set(next.lane, (this.#served.get(next.lane) ?? 0) + next.bytes / this.#weights[next.lane]);
      next.go();
    }
  }

  #grantIn(ms: number): void {
    if (this.#pause) return;
    const pause = new AbortController();
    this.#pause = pause;
    void this.#clock.sleep(ms, pause.signal).then(() => {
      if (this.#pause !== pause) return;
      this.#pause = undefined;
      this.#grant();
    });
  }

  #endPause(): void {
    const pause = this.#pause;
    this.#pause = undefined;
    pause?.abort();
  }

  #next(): Waiting | undefined {
    const live = this.#waiting.find(({ lane }) => lane === "transaction" && !this.#underWay.get(lane));
    if (live) return live;
    if (this.#together >= maxTogether) return undefined;
    return this.#waiting.toSorted((a, b) => (this.#served.get(a.lane) ?? 0) - (this.#served.get(b.lane) ?? 0))[0];
  }
}

export function weightsOf({ lanes }: QueuePolicy): Record<Lane, number> {
  const { transaction, bulk, telemetry } = lanes;
  return { transaction: transaction.weight, bulk: bulk.weight, telemetry: telemetry.weight };
}
