/** Something with a lifecycle: `start` returns when usable; `stop` is safe to call twice and during a start. */
export interface Part {
  start?(signal: AbortSignal): Promise<void>;
  stop?(): Promise<void>;
}

/** Starts parts in order and stops them in reverse, also after a failed start; reports all failures together. */
export class Scope {
  readonly #started: { name: string; stop: () => Promise<void> }[] = [];
  #stopping: Promise<void> | undefined;

  async start(name: string, part: Part, signal: AbortSignal): Promise<void> {
    // registered before it starts, so that a part that fails half-way is stopped as well
    if (part.stop) this.#started.push({ name, stop: () => part.stop?.() ?? Promise.resolve() });
    try {
      await part.start?.(signal);
    } catch (error) {
      await this.stop().catch(() => {});
      throw error;
    }
  }

  /** Adds something already running. */
  defer(name: string, stop: () => Promise<void>): void {
    this.#started.push({ name, stop });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const { name, stop } of this.#started.reverse()) {
      try {
        await stop();
      } catch (cause) {
        failures.push(new Error(`stopping ${name} failed`, { cause }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "stopping failed");
  }
}
