import { backoff, type Clock, hasDisposition, PlantgateError } from "../../../protocol/index.ts";
import type { Inlet, Input } from "../connector.ts";

/** Bounds of one call of `accept`: large enough to share a flush, small enough to be one frame. */
const maxInputs = 64;
const maxBytes = 256 * 1024;

export interface IntakeLineDeps {
  readonly inlet: Pick<Inlet, "accept">;
  readonly clock: Clock;
  /** Ends with the connection: what is held then is given up, unacknowledged, and its sender repeats it. */
  readonly signal: AbortSignal;
  /** Longest pause between two tries while the queue is full. */
  readonly holdMs?: number;
  /** The queue is full; called before each pause. */
  readonly onHeld?: () => void;
  /** What was held is flushed. */
  readonly onFreed?: () => void;
}

interface Entry {
  readonly input: Input;
  readonly before: (() => Promise<void>) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The inputs of one connection on their way to the disk, one behind the other: what arrives while a flush is under way goes
 * together with the next one. A full queue holds the line, so that its reader stops reading; any other failure breaks the line
 * for good, so that nothing is acknowledged behind a message that was not.
 */
export class IntakeLine {
  readonly #deps: IntakeLineDeps;
  readonly #waiting: Entry[] = [];
  #running = false;
  #broken: { readonly error: unknown } | undefined;

  constructor(deps: IntakeLineDeps) {
    this.#deps = deps;
  }

  /**
   * Resolves once the input is flushed, in the order of the calls.
   * @param before runs when all earlier inputs are flushed, before this one is given to the queue
   * @throws PlantgateError STOPPED when the connection ended meanwhile; else what broke the line
   */
  take(input: Input, before?: () => Promise<void>): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken.error);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ input, before, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#flush(batch);
      } catch (error) {
        this.#broken = { error };
        for (const { reject } of [...batch, ...this.#waiting.splice(0)]) reject(error);
        return;
      }
      for (const { resolve } of batch) resolve();
    }
    this.#running = false;
  }

  /** An exactly-once input stands alone: its marker decides over the whole change. */
  #nextBatch(): Entry[] {
    let count = 0;
    let bytes = 0;
    for (const { input, before } of this.#waiting) {
      const alone = input.exactlyOnce !== undefined || before !== undefined;
      bytes += input.body.byteLength;
      if (count > 0 && (alone || bytes > maxBytes || count >= maxInputs)) break;
      count += 1;
      if (alone) break;
    }
    return this.#waiting.splice(0, count);
  }

  async #flush(batch: readonly Entry[]): Promise<void> {
    const { inlet, clock, signal, onHeld, onFreed } = this.#deps;
    const delays = backoff({ baseMs: 50, capMs: this.#deps.holdMs ?? 2000 });
    for (let tries = 1; ; tries++) {
      if (signal.aborted) throw new PlantgateError("STOPPED", "the connection ended before the message was on disk");
      try {
        for (const { before } of batch) await before?.();
        await inlet.accept(batch.map(({ input }) => input));
        if (tries > 1) onFreed?.();
        return;
      } catch (error) {
        if (!hasDisposition(error, "shed")) throw error;
        onHeld?.();
        await clock.sleep(delays.next().value, signal);
      }
    }
  }
}

/** Why a line broke, for a log: stopping is no failure. */
export function isStop(error: unknown): boolean {
  return error instanceof PlantgateError && error.code === "STOPPED";
}
