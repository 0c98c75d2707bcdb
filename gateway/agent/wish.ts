import type { Clock } from "../../protocol/index.ts";
import type { DesiredRevision } from "./bundles.ts";

const settleMs = 30_000;
const none: DesiredRevision = { revision: 0 };

/** What central wants, and whether that was dealt with, by being put into effect or refused. Two wishes for the same revision are two wishes. */
export class Wish {
  readonly #clock: Clock;
  #current: DesiredRevision;
  #done: DesiredRevision;
  #superseded = new AbortController();
  /** Until when messages wait for a revision. */
  #patience: { readonly wanted: DesiredRevision; readonly until: number } | undefined;

  constructor(clock: Clock, desired: DesiredRevision) {
    this.#clock = clock;
    this.#current = desired;
    this.#done = desired;
  }

  get current(): DesiredRevision {
    return this.#current;
  }

  get isDone(): boolean {
    return this.#current === this.#done;
  }

  /** Aborts when central wants something else than now. */
  get superseded(): AbortSignal {
    return this.#superseded.signal;
  }

  /** @returns whether that is news */
  become({ revision, digest }: DesiredRevision): boolean {
    const known = this.#current;
    if (revision === known.revision && (digest === undefined || digest === known.digest)) return false;
    this.#current = { revision, digest };
    this.#superseded.abort();
    this.#superseded = new AbortController();
    return true;
  }

  done(wanted: DesiredRevision): void {
    this.#done = wanted;
  }

  /** The current wish is judged again. */
  reopen(): void {
    this.#done = { ...none };
  }

  /** As if central had said nothing yet: the same wish, sent again, is news. */
  forget(): void {
    this.#current = none;
    this.#done = none;
  }

  /**
   * Resolves when the wish was dealt with, or nobody is about to deal with it. After half a minute it resolves anyway: messages must not wait for a
   * central that is out of reach. All that wait for one revision share one half minute: one for each message would hold a lane for hours.
   */
  async settled(isHeld: () => boolean, signal: AbortSignal): Promise<void> {
    for (;;) {
      const wanted = this.#current;
      if (this.isDone || isHeld()) return;
      if (this.#patience?.wanted !== wanted) this.#patience = { wanted, until: this.#clock.monotonic() + settleMs };
      if (this.#clock.monotonic() >= this.#patience.until) return;
      if (signal.aborted) return;
      await this.#clock.sleep(100, signal);
    }
  }
}
