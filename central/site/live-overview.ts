import type { Clock } from "../../protocol/index.ts";
import type { Overview } from "./overview.ts";

export interface LiveOverviewDeps {
  readonly overview: Pick<Overview, "sites">;
  readonly clock: Clock;
}

/** How long a look serves all who watch. */
const everyMs = 1000;

interface Look {
  /** Another one for each change. */
  readonly version: number;
  /** As JSON. */
  readonly text: string;
  /** Without what changes by itself. */
  readonly compared: string;
  /** Running time until which it is the newest. */
  readonly until: number;
}

/** The sites for all who watch them: looked at once a second, however many that are, and not at all while nobody does. */
export class LiveOverview {
  readonly #deps: LiveOverviewDeps;
  #look: Look | undefined;
  #looking: Promise<Look> | undefined;

  constructor(deps: LiveOverviewDeps) {
    this.#deps = deps;
  }

  /** The sites as JSON: as they are, at most a second ago, then after each change, until the signal aborts. */
  async *follow(signal: AbortSignal): AsyncGenerator<string> {
    const { clock } = this.#deps;
    let told = 0;
    while (!signal.aborted) {
      const { version, text, until } = await this.#newest();
      if (version !== told) yield text;
      told = version;
      await clock.sleep(until - clock.monotonic(), signal);
    }
  }

  /** All who wake with the end of one look share the next. */
  async #newest(): Promise<Look> {
    if (this.#look && this.#deps.clock.monotonic() < this.#look.until) return this.#look;
    this.#looking ??= this.#read().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #read(): Promise<Look> {
    const { overview, clock } = this.#deps;
    const answer = await overview.sites();
    const compared = JSON.stringify({ ...answer, at: "" });
    const until = clock.monotonic() + everyMs;
    const before = this.#look;
    this.#look =
      before?.compared === compared
        ? { ...before, until }
        : { version: (before?.version ?? 0) + 1, text: JSON.stringify(answer), compared, until };
    return this.#look;
  }
}
