import { backoff, PlantgateError } from "../../protocol/index.ts";

/** Whoever answers, and does not let us in, is asked ever more rarely. */
const whenAnswered = { baseMs: 500, capMs: 20_000 };
/** While nobody answers at all: about twice a second, so that a link that returns is used at once. */
const whenSilent = { baseMs: 200, capMs: 700 };

/** After a session that an answer of central ended. */
const whenEnded = { baseMs: 50, capMs: 20_000 };
/** After sessions that broke off: hellos come through, and something else does not. */
const whenBroken = { baseMs: 50, capMs: 2000 };
/** A session that lasted for so long was one. */
const settledMs = 10_000;

/** Whether somebody answered, in whatever way. */
export function isAnswered(error: unknown): boolean {
  return error instanceof PlantgateError && error.context.answered === true;
}

/** How long central asks to be left alone, in ms, where an error is its answer and says so. */
export function askedToWaitMs(error: unknown): number | undefined {
  return error instanceof PlantgateError ? (error.context.waitMs as number | undefined) : undefined;
}

/** How long to wait after a hello that failed. */
export class PausesAfterHellos {
  readonly #silent = backoff(whenSilent);
  #answered = backoff(whenAnswered);

  succeeded(): void {
    this.#answered = backoff(whenAnswered);
  }

  next(error: unknown): number {
    const silent = error instanceof PlantgateError && error.code === "PEER_UNREACHABLE" && !isAnswered(error);
    return askedToWaitMs(error) ?? (silent ? this.#silent : this.#answered).next().value;
  }
}

/** What central answered ended the session, not the way to it; and how long it asks to be left alone. */
export interface EndedByAnswer {
  readonly waitMs: number;
}

/** How long to wait after a session, while none lasts: nothing after the first that broke off, as its link may be back already. */
export class PausesAfterSessions {
  #ended = backoff(whenEnded);
  #broken = backoff(whenBroken);
  #breaks = 0;

  next(lastedMs: number, endedByAnswer: EndedByAnswer | undefined): number {
    if (lastedMs > settledMs) {
      this.#ended = backoff(whenEnded);
      this.#broken = backoff(whenBroken);
      this.#breaks = 0;
    }
    if (endedByAnswer) return Math.max(endedByAnswer.waitMs, this.#ended.next().value);
    this.#breaks += 1;
    return this.#breaks > 1 ? this.#broken.next().value : 0;
  }
}
