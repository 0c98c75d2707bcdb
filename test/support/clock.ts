import { type Clock, systemClock } from "../../protocol/index.ts";

/** A clock that a test sets; timers are the machine's, and end early what has passed. */
export interface SettableClock extends Clock {
  /** How far the clock on the wall is ahead; running time does not follow. */
  aheadMs: number;
  /** So much time has passed, on the wall and running. */
  pass(ms: number): void;
  /** Running time stands still, however long the machine takes, until `go`. */
  hold(): void;
  go(): void;
}

export function settableClock(): SettableClock {
  let passedMs = 0;
  let heldAt: number | undefined;
  const sleepers = new Set<() => void>();
  const clock: SettableClock = {
    aheadMs: 0,
    pass(ms) {
      passedMs += ms;
      clock.aheadMs += ms;
      for (const look of sleepers) look();
    },
    hold() {
      heldAt = systemClock.monotonic();
    },
    go() {
      heldAt = undefined;
    },
    now: () => systemClock.now() + clock.aheadMs,
    monotonic: () => (heldAt ?? systemClock.monotonic()) + passedMs,
    async sleep(ms, signal) {
      const until = clock.monotonic() + ms;
      const over = new AbortController();
      const look = (): void => {
        if (clock.monotonic() >= until) over.abort();
      };
      sleepers.add(look);
      await systemClock.sleep(ms, signal ? AbortSignal.any([signal, over.signal]) : over.signal);
      sleepers.delete(look);
    },
  };
  return clock;
}

/** Running time passes so many times as fast as the machine's. */
export function paced(times: number): Clock {
  const { now, monotonic, sleep } = systemClock;
  return { now, monotonic: () => monotonic() * times, sleep: (ms, signal) => sleep(ms / times, signal) };
}
