import { backoff, type Clock, describeError, hasDisposition, PlantgateError } from "../../../protocol/index.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Inlet, Input } from "../connector.ts";

/** Inputs that belong into one call: a sample, or an interruption and the sample that ends it. */
export type Entry = readonly [Input] | readonly [Input, Input];

export interface IntakeDeps {
  readonly inlet: Inlet;
  readonly clock: Clock;
  readonly log: Logger;
  /** Samples that may wait in memory while the queue takes nothing. */
  readonly capacity: number;
  /** The queue refuses (`true`), takes again (`false`). */
  onBlocked(blocked: boolean): void;
}

const inputsPerCall = 1000;

/**
 * From the subscription into the queue, in order, one call at a time. What arrived has been acknowledged to the machine's server already, so
 * it waits here, bounded, while the queue is full; `offer` says when nothing more fits, and the caller then states the hole.
 */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #stopped = new AbortController();
  #waiting: Entry[] = [];
  #pumping: Promise<void> | undefined;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Asked before an entry is made: an entry that is refused must not count as the item's last sample. */
  get hasRoom(): boolean {
    return this.#waiting.length < this.#deps.capacity && !this.#stopped.signal.aborted;
  }

  offer(entries: readonly Entry[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
    });
  }

  /** Waits until all is flushed, at most `graceMs`; then gives up what is left. */
  async stop(graceMs: number): Promise<void> {
    const pumping = this.#pumping;
    if (pumping) {
      const expired = new AbortController();
      await Promise.race([pumping, this.#deps.clock.sleep(graceMs, expired.signal)]);
      expired.abort();
    }
    this.#stopped.abort();
    this.#waiting = [];
  }

  async #pump(): Promise<void> {
    const { inlet, clock, log } = this.#deps;
    const { signal } = this.#stopped;
    let delays = backoff({ baseMs: 100, capMs: 5000 });
    let blocked = false;
    while (this.#waiting.length > 0 && !signal.aborted) {
      const entries = this.#next();
      try {
        await inlet.accept(entries.flat());
        this.#waiting.splice(0, entries.length);
        delays = backoff({ baseMs: 100, capMs: 5000 });
        if (blocked) this.#deps.onBlocked(false);
        blocked = false;
      } catch (error) {
        if (error instanceof PlantgateError && error.code === "STOPPED") {
          this.#stopped.abort();
          return;
        }
        if (!blocked) {
          log.warn(
            { event: "opcua.samples.held", waiting: this.#waiting.length, err: describeError(error) },
            "the queue takes no samples, they wait in memory",
          );
          // a full queue is the gateway's condition; anything else shows in its own place
          if (hasDisposition(error, "shed")) this.#deps.onBlocked(true);
        }
        blocked = true;
        await clock.sleep(delays.next().value, signal);
      }
    }
  }

  #next(): Entry[] {
    let inputs = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      if (inputs + entry.length > inputsPerCall) break;
      inputs += entry.length;
      count += 1;
    }
    return this.#waiting.slice(0, count);
  }
}
