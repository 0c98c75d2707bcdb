import { type Clock, type ConnectorReport, toInstant } from "../../protocol/index.ts";

/** The state every connector keeps, and the only way to change it. */
export class Condition {
  #state: ConnectorReport["state"] = "starting";
  #reason: string | undefined;
  #since: number;
  #connects = 0;
  readonly #name: string;
  readonly #kind: string;
  readonly #clock: Clock;

  constructor(name: string, kind: string, clock: Clock) {
    this.#name = name;
    this.#kind = kind;
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** A session with the peer begins. */
  connected(): void {
    this.#connects += 1;
    this.#change("up", undefined);
  }

  /** Works again after `degraded`, in the same session. */
  recovered(): void {
    this.#change("up", undefined);
  }

  degraded(reason: string): void {
    this.#change("degraded", reason);
  }

  down(reason: string): void {
    this.#change("down", reason);
  }

  stopped(): void {
    this.#change("stopped", undefined);
  }

  get state(): ConnectorReport["state"] {
    return this.#state;
  }

  report(): ConnectorReport {
    return {
      name: this.#name,
      kind: this.#kind,
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason.slice(0, 1000) }),
      since: toInstant(this.#since),
      connects: this.#connects,
    };
  }

  #change(state: ConnectorReport["state"], reason: string | undefined): void {
    if (state !== this.#state) this.#since = this.#clock.now();
    this.#state = state;
    this.#reason = reason;
  }
}
