import type { Clock } from "../../protocol/index.ts";

const summaryMs = 30_000;

export interface RepeatedDeps {
  readonly clock: Clock;
  /** Ends with what may fail; what was not told by then is told. */
  readonly signal: AbortSignal;
  /** `again`: how often since it was told last; 0 the first time. */
  readonly tell: (fields: Readonly<Record<string, unknown>>, again: number) => void;
}

/** Something that strangers can make happen as often as they like: told at once, then each 30 s with how often, until it has ceased. */
export class Repeated {
  readonly #deps: RepeatedDeps;
  #again = 0;
  #last: Readonly<Record<string, unknown>> = {};
  #isWatched = false;

  constructor(deps: RepeatedDeps) {
    this.#deps = deps;
  }

  note(fields: Readonly<Record<string, unknown>>): void {
    this.#last = fields;
    if (this.#isWatched) {
      this.#again += 1;
      return;
    }
    this.#deps.tell(fields, 0);
    void this.#watch();
  }

  async #watch(): Promise<void> {
    const { clock, signal, tell } = this.#deps;
    this.#isWatched = true;
    do {
      this.#again = 0;
      await clock.sleep(summaryMs, signal);
      if (this.#again > 0) tell(this.#last, this.#again);
    } while (this.#again > 0 && !signal.aborted);
    this.#isWatched = false;
  }
}
