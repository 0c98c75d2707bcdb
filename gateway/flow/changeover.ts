import { PlantgateError } from "../../protocol/index.ts";

/**
 * The change from one configuration to the next, as all see it who work by the one in effect. Modes: in effect; changing, from `begin` to `end`.
 * What began by a configuration ends by it, as `begin` waits for that; what comes while it changes waits for the one that is in effect in the end.
 */
export class Changeover {
  #end: PromiseWithResolvers<void> | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  get isUnderWay(): boolean {
    return this.#end !== undefined;
  }

  /** Undefined: none is under way. Else it resolves when it ends. @throws PlantgateError STOPPED once the signal aborts, as who waits is ended in it */
  ended(signal?: AbortSignal): Promise<void> | undefined {
    return this.#end && orStopped(this.#end.promise, signal);
  }

  /** Work of bounded time that needs one configuration from its beginning to its end. @throws PlantgateError STOPPED, before it began */
  async undisturbed<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    for (let wait = this.ended(signal); wait; wait = this.ended(signal)) await wait;
    const running = work();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  /** Resolves when nothing goes on by the configuration in effect; nothing begins until `end`. */
  async begin(): Promise<void> {
    this.#end ??= Promise.withResolvers();
    await Promise.allSettled(this.#underWay);
  }

  end(): void {
    this.#end?.resolve();
    this.#end = undefined;
  }
}

async function orStopped(end: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void =>
    stopped.reject(new PlantgateError("STOPPED", "the connector was stopped while the configuration changed"));
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    await Promise.race([end, stopped.promise]);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}
