import { backoff, type Clock, hasDisposition, PlantgateError } from "../../../protocol/index.ts";
import type { Inlet, Input, Prepared } from "../connector.ts";

/** Bounds of one commit: large enough to share a flush, small enough to be one frame. */
const maxInputs = 1000;
const maxBytes = 1024 * 1024;

export interface IntakeLineDeps {
  readonly inlet: Pick<Inlet, "prepare" | "commit">;
  readonly clock: Clock;
  /** Ends with the connection: what is held then is given up, unacknowledged, and its sender repeats it. */
  readonly signal: AbortSignal;
  /** The queue is full; called before each pause. */
  readonly onHeld?: () => void;
  /** What was held is flushed. */
  readonly onFreed?: () => void;
}

/** Undefined: flushed. Else the input must not be acknowledged, and none behind it. */
export type Done = (error?: unknown) => void;

interface Entry {
  readonly input: Input;
  readonly done: Done;
  readonly before: (() => Promise<void>) | undefined;
  /** Made from the input, or being made; what was made before a hold is made anew. */
  work: Prepared | Promise<void> | undefined;
}

/**
 * The inputs of one connection on their way to the disk, one behind the other: each is mapped when it comes, and what has gathered
 * while a flush is under way goes together with the next one.
 *
 * idle → writing → idle; writing → held (the queue is full) → writing, until there is room: the reader stops reading meanwhile;
 * writing → broken by any other failure, for good, so that nothing is acknowledged behind a message that was not.
 */
export class IntakeLine {
  readonly #deps: IntakeLineDeps;
  readonly #waiting: Entry[] = [];
  #mode: "idle" | "writing" | "held" | "broken" = "idle";
  #cause: unknown;
  #scheduled = false;
  /** Inputs of the next commit, at most: fewer after a refusal, so that what the queue still takes is not held with what it does not. */
  #most = maxInputs;
  #delays: Generator<number> | undefined;

  constructor(deps: IntakeLineDeps) {
    this.#deps = deps;
  }

  /**
   * Takes an input; `done` is called when it is flushed, in the order of the calls.
   * @param before runs when all earlier inputs are flushed, before this one is given to the queue
   */
  take(input: Input, done: Done, before?: () => Promise<void>): void {
    if (this.#mode === "broken") return done(this.#cause);
    const entry: Entry = { input, done, before, work: undefined };
    this.#waiting.push(entry);
    // while the line is held, nothing behind its head is mapped: it would carry a time long past when it is written
    if (this.#mode !== "held") this.#prepare(entry);
    this.#schedule();
  }

  /** All that comes in this turn goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#mode === "held" || this.#mode === "broken") return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#next();
    });
  }

  #prepare(entry: Entry): void {
    try {
      const made = this.#deps.inlet.prepare(entry.input);
      if (!(made instanceof Promise)) {
        entry.work = made;
        return;
      }
      const work: Promise<void> = made.then(
        (prepared) => {
          if (entry.work === work) entry.work = prepared;
          this.#schedule();
        },
        (error: unknown) => this.#break(error),
      );
      entry.work = work;
    } catch (error) {
      this.#break(error);
    }
  }

  #next(): void {
    if (this.#mode !== "idle") return;
    const { signal } = this.#deps;
    if (signal.aborted && this.#waiting.length > 0)
      return this.#break(new PlantgateError("STOPPED", "the connection ended before the message was on disk"));
    const batch = this.#takeBatch();
    if (batch.length === 0) return;
    this.#mode = "writing";
    void this.#write(batch);
  }

  /** What is mapped, from the head on. An exactly-once input stands alone: its marker decides over the whole change. */
  #takeBatch(): { entry: Entry; prepared: Prepared }[] {
    const batch: { entry: Entry; prepared: Prepared }[] = [];
    let bytes = 0;
    for (const entry of this.#waiting) {
      const alone = entry.input.exactlyOnce !== undefined || entry.before !== undefined;
      bytes += entry.input.body.byteLength;
      if (batch.length > 0 && (alone || bytes > maxBytes || batch.length >= this.#most)) break;
      if (entry.work === undefined) this.#prepare(entry);
      const { work } = entry;
      if (work === undefined || work instanceof Promise) break;
      batch.push({ entry, prepared: work });
      if (alone) break;
    }
    return batch;
  }

  async #write(batch: readonly { entry: Entry; prepared: Prepared }[]): Promise<void> {
    try {
      await batch[0]?.entry.before?.();
      await this.#deps.inlet.commit(batch.map(({ prepared }) => prepared));
    } catch (error) {
      if (hasDisposition(error, "shed")) return this.#hold(batch.length);
      return this.#break(error);
    }
    // broken meanwhile by what is behind it: its sender was told, and repeats it
    if (this.#mode !== "writing") return;
    if (this.#delays) this.#deps.onFreed?.();
    this.#delays = undefined;
    this.#most = Math.min(maxInputs, this.#most * 2);
    this.#waiting.splice(0, batch.length);
    this.#mode = "idle";
    for (const { entry } of batch) entry.done();
    this.#next();
  }

  /** The head stays where it is. It alone is tried again when there may be room, or the half of what was refused at once. */
  async #hold(refused: number): Promise<void> {
    if (this.#mode !== "writing") return;
    this.#mode = "held";
    this.#most = Math.max(1, refused >> 1);
    for (const entry of this.#waiting) entry.work = undefined;
    if (refused === 1) {
      const { clock, signal, onHeld } = this.#deps;
      onHeld?.();
      this.#delays ??= backoff({ baseMs: 50, capMs: 2000 });
      await clock.sleep(this.#delays.next().value, signal);
    }
    this.#mode = "idle";
    this.#next();
  }

  #break(error: unknown): void {
    if (this.#mode === "broken") return;
    this.#mode = "broken";
    this.#cause = error;
    for (const { done } of this.#waiting.splice(0)) done(error);
  }
}

/** Why a line broke, for a log: stopping is no failure. */
export function isStop(error: unknown): boolean {
  return error instanceof PlantgateError && error.code === "STOPPED";
}
