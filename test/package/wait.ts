/** It ends a test that would fail anyway: for what comes, it is long enough on a machine that does ten things besides. */
const patienceMs = 600_000;

/**
 * Asks again until `judge` is satisfied; the last answer is in the error when it never is.
 * @param over once it has ended, what is waited for cannot come any more; what it resolves to is in the error
 */
export async function until<Value>(
  ask: () => Promise<Value> | Value,
  judge: (value: Value) => boolean,
  over: Promise<unknown> = new Promise(() => {}),
): Promise<Value> {
  const end = performance.now() + patienceMs;
  const isOver = over.then((value) => ({ value }));
  // whoever waits sees it fail, and else its owner does
  isOver.catch(() => {});
  for (;;) {
    const value = await ask();
    if (judge(value)) return value;
    if (performance.now() > end) throw new Error(`not in ${patienceMs / 1000} s: ${shown(value)}`);
    const ended = await Promise.race([isOver, new Promise<undefined>((resolve) => setTimeout(resolve, 100))]);
    if (ended) {
      const last = await ask();
      if (judge(last)) return last;
      throw new Error(`it ended before what was waited for: ${shown(ended.value)}; last seen: ${shown(last)}`);
    }
  }
}

function shown(value: unknown): string | undefined {
  return (typeof value === "string" ? value : JSON.stringify(value))?.slice(0, 2000);
}
