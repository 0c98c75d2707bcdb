/** UTC milliseconds since 1970. A label on data; never an order (P10). */
export type EpochMs = number;

/** Time, as every part gets it. `monotonic` never jumps with the wall clock; its origin means nothing across processes. */
export interface Clock {
  now(): EpochMs;
  monotonic(): number;
  /** Resolves after `ms`, or early, without an error, when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** What a timer of the runtime can hold; with more it fires at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      let timer: ReturnType<typeof setTimeout>;
      const wait = (leftMs: number): void => {
        const isLast = leftMs <= longestTimerMs;
        timer = setTimeout(isLast ? done : () => wait(leftMs - longestTimerMs), Math.min(leftMs, longestTimerMs));
      };
      wait(ms);
      signal?.addEventListener("abort", done, { once: true });
    }),
};

let lastAt: EpochMs | undefined;
let lastInstant = "";

/** UTC with `Z` and milliseconds, the only form of an instant in our messages. */
export function toInstant(at: EpochMs): string {
  // many messages are recorded in one millisecond, and the text costs as much as parsing one of them
  if (at !== lastAt) {
    lastInstant = new Date(at).toISOString();
    lastAt = at;
  }
  return lastInstant;
}
