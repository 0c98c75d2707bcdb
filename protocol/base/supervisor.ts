import type { Clock } from "./clock.ts";

/** Whoever started this process and starts it again: told what it cannot see from outside. */
export interface Supervisor {
  /** It does what it is there for. */
  ready(): void;
  stopping(): void;
  /** Within so long {@link alive} has to be told again, else the process is ended and started anew; undefined: nobody waits for it. */
  readonly aliveEveryMs: number | undefined;
  alive(): void;
}

export const unsupervised: Supervisor = { ready() {}, stopping() {}, aliveEveryMs: undefined, alive() {} };

/** Tells the supervisor, three times as often as it asks, that `answered` has resolved; resolves when the signal aborts. */
export async function keepAlive(
  supervisor: Supervisor,
  answered: () => Promise<void>,
  clock: Pick<Clock, "sleep">,
  signal: AbortSignal,
): Promise<void> {
  const { aliveEveryMs } = supervisor;
  while (aliveEveryMs !== undefined && !signal.aborted) {
    const ok = await answered().then(
      () => true,
      () => false,
    );
    if (ok && !signal.aborted) supervisor.alive();
    await clock.sleep(aliveEveryMs / 3, signal);
  }
}
