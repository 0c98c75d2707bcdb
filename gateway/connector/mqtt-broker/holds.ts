import type { Clock } from "../../../protocol/index.ts";
import type { Condition } from "../condition.ts";
import type { Inlet } from "../connector.ts";
import { IntakeLine } from "../mqtt/intake-line.ts";

/** Which connections' messages wait for room in the queue: the connector is degraded while there is one. */
export class Holds {
  readonly #inlet: Inlet;
  readonly #clock: Clock;
  readonly #condition: Condition;
  readonly #isListening: () => boolean;
  #held = 0;

  constructor(deps: { inlet: Inlet; clock: Clock; condition: Condition; isListening: () => boolean }) {
    this.#inlet = deps.inlet;
    this.#clock = deps.clock;
    this.#condition = deps.condition;
    this.#isListening = deps.isListening;
  }

  /** The line of one connection. */
  openLine(closed: AbortSignal): IntakeLine {
    let holds = false;
    const onHeld = (): void => {
      if (!holds) this.#held += 1;
      holds = true;
      this.#condition.degraded("the queue is full: clients are not read from until there is room");
    };
    const onFreed = (): void => {
      if (!holds) return;
      holds = false;
      this.#held -= 1;
      if (this.#held === 0 && this.#isListening()) this.#condition.recovered();
    };
    closed.addEventListener("abort", onFreed, { once: true });
    return new IntakeLine({ inlet: this.#inlet, clock: this.#clock, signal: closed, onHeld, onFreed });
  }
}
