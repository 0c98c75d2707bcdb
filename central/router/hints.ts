/** Who waits for whatever the ledger holds next; no site has such a name. */
export const ledgerHint = "the ledger";

/**
 * Wakes long polls of a site when something may be there for it. Only a hint: whoever waits also looks by itself once a second.
 */
export class Hints {
  readonly #waiting = new Map<string, Set<() => void>>();

  wake(site: string): void {
    for (const done of [...(this.#waiting.get(site) ?? [])]) done();
  }

  wakeAll(sites: Iterable<string>): void {
    for (const site of sites) this.wake(site);
  }

  /** Something happened, and nobody knows for whom. */
  wakeEverybody(): void {
    this.wakeAll([...this.#waiting.keys()]);
  }

  /** Resolves at a wake, after `ms`, or when the signal aborts. */
  wait(site: string, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#remove(site, done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      const others = this.#waiting.get(site);
      if (others) others.add(done);
      else this.#waiting.set(site, new Set([done]));
      if (signal.aborted) done();
      else signal.addEventListener("abort", done, { once: true });
    });
  }

  #remove(site: string, done: () => void): void {
    const waiting = this.#waiting.get(site);
    waiting?.delete(done);
    if (waiting?.size === 0) this.#waiting.delete(site);
  }
}
