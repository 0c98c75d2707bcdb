import {
  type Bundle,
  type Clock,
  type ConnectorReport,
  describeError,
  durationMs,
  hasDisposition,
  PlantgateError,
  watchPolicy,
} from "../../protocol/index.ts";
import { since, type Tally, together } from "../flow/tallies.ts";
import type { Bundles } from "./bundles.ts";
import type { AgentState, StoredRevision } from "./documents.ts";
import { isSame, type NotedState, toStored } from "./noted-state.ts";
import { type Vitals, Watch } from "./watch.ts";

export interface InEffectDeps {
  readonly clock: Clock;
  readonly vitals: () => Vitals;
  /** Puts a bundle into effect, whole or not at all. @throws PlantgateError CONFIG_INVALID, after which the old one still runs */
  readonly apply: (next: Bundle) => Promise<void>;
  /**
   * Puts a bundle that ran before into effect again, as far as it can run. `instead`: in place of a newer one, until that one can be applied.
   * @throws PlantgateError CONFIG_INVALID, after which none runs
   */
  readonly restore: (stored: Bundle, instead: boolean) => Promise<void>;
}

/** What runs, since when. */
export interface Running {
  readonly stored: StoredRevision;
  readonly bundle: Bundle;
  readonly begun: Vitals;
}
export type Trial = NonNullable<AgentState["trial"]>;

/** No bundle takes this long to apply: connectors start without waiting for their peers. */
const longestApplyMs = 2 * 60_000;
/** How a revision is watched that does not say how. */
const defaultWatch = watchPolicy.parse({});

/** The configuration that runs, how it came into effect, and what its watch compares it with. The agent notes it on disk. */
export class InEffect {
  readonly #deps: InEffectDeps;
  readonly #bundles: Bundles;
  readonly #noted: NotedState;
  #running: Running | undefined;

  constructor(deps: InEffectDeps, bundles: Bundles, noted: NotedState) {
    this.#deps = deps;
    this.#bundles = bundles;
    this.#noted = noted;
  }

  get running(): Running | undefined {
    return this.#running;
  }

  /** @throws PlantgateError CONFIG_INVALID: what ran before still runs; INVARIANT: it took too long */
  async apply(stored: StoredRevision, bundle: Bundle): Promise<Running> {
    await this.#inTime(this.#deps.apply(bundle), stored.revision);
    this.#running = { stored, bundle, begun: this.#deps.vitals() };
    return this.#running;
  }

  /** Applies the first of these that can be applied. @returns why those before it could not */
  async restoreFirstOf(candidates: readonly (StoredRevision | undefined)[], isInstead: boolean): Promise<string[]> {
    const reasons: string[] = [];
    for (const stored of candidates) {
      if (!stored) continue;
      try {
        const bundle = await this.#bundles.stored(stored);
        const restored = this.#deps.restore(bundle, isInstead || reasons.length > 0);
        await (isSame(stored, this.#noted.current.trial) ? this.#inTime(restored, stored.revision) : restored);
        this.#running = { stored: toStored(stored), bundle, begun: this.#deps.vitals() };
        return reasons;
      } catch (error) {
        if (hasDisposition(error, "crash")) throw error;
        this.#running = undefined;
        reasons.push(`revision ${stored.revision}: ${describeError(error)}`);
      }
    }
    return reasons;
  }

  /** A trial that hangs would keep every later revision away. So the process ends; new ones count their starts, and the last good one comes back. */
  async #inTime(applied: Promise<void>, revision: number): Promise<void> {
    const over = new AbortController();
    const limit = this.#deps.clock.sleep(longestApplyMs, over.signal).then(() => {
      if (!over.signal.aborted)
        throw new PlantgateError("INVARIANT", `revision ${revision} is not in effect after ${longestApplyMs / 60_000} minutes`);
    });
    try {
      await Promise.race([applied, limit]);
    } finally {
      over.abort();
    }
  }

  /** A new trial, with how things were under the last good revision, also where another trial came between. */
  trialOf(stored: StoredRevision): Trial {
    const { connectors, tallies } = this.#deps.vitals();
    const isAiling = ({ state }: ConnectorReport): boolean => state === "down" || state === "degraded";
    const ailing = connectors.filter(isAiling).map(({ name }) => name);
    const baseline = this.#noted.current.trial ?? { ailing, earlier: this.talliesSoFar(tallies) };
    return { ...stored, starts: 1, ailing: baseline.ailing, earlier: baseline.earlier };
  }

  /** Tallies of the good revision, since it came into effect. */
  talliesSoFar(tallies: readonly Tally[] = this.#deps.vitals().tallies): Tally[] {
    return together(this.#noted.current.tallies ?? [], since(this.#running?.begun.tallies ?? [], tallies));
  }

  async watchOf({ bundle, begun }: Running, { ailing, earlier }: Trial): Promise<Watch> {
    const { for: period, maxDeadLetterShare } = bundle.watch ?? defaultWatch;
    return new Watch({
      good: await this.#goodBundle(),
      watched: bundle,
      ailing,
      earlier,
      begun,
      beganAt: this.#deps.clock.monotonic(),
      forMs: durationMs(period),
      maxDeadLetterShare,
    });
  }

  /** Undefined: there is no way back. */
  async #goodBundle(): Promise<Bundle | undefined> {
    const { good } = this.#noted.current;
    try {
      return good && (await this.#bundles.stored(good));
    } catch (error) {
      if (hasDisposition(error, "crash")) throw error;
      return undefined;
    }
  }
}
