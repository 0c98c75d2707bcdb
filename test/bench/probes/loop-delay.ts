import { renameSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

/**
 * Loaded into a gateway before it runs (`--import`): measures the delay of the main thread's event loop from the first SIGUSR2 to the
 * second, and writes it then.
 */
const file = process.env.PLANTGATE_BENCH_LOOP_DELAY;

if (file !== undefined && isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let measuring = false;
  process.on("SIGUSR2", () => {
    measuring = !measuring;
    if (measuring) {
      delay.reset();
      delay.enable();
      return;
    }
    delay.disable();
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) => ns / 1e6);
    // whole or not there
    writeFileSync(`${file}.new`, JSON.stringify({ p50, p99, max }));
    renameSync(`${file}.new`, file);
  });
}
