/** Delays between attempts, in ms: decorrelated jitter, so that a thousand plants do not come back in step. */
export function* backoff(options: { baseMs: number; capMs: number; random?: () => number }): Generator<number, never> {
  const random = options.random ?? Math.random;
  let previous = options.baseMs;
  for (;;) {
    yield Math.round(previous);
    previous = Math.min(options.capMs, options.baseMs + random() * (previous * 3 - options.baseMs));
  }
}

/** The delay before attempt `attempt` (1, 2, …) for a caller that keeps only the count: exponential, half of it random. */
export function delayForAttempt(attempt: number, options: { baseMs: number; capMs: number; random?: () => number }): number {
  const ceiling = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + ((options.random ?? Math.random)() * ceiling) / 2);
}
