/** Who waits for whatever the ledger holds next; no site has such a name. */
export const ledgerHint = "the ledger";

/**
 * Wakes long polls of a site when something may be there for it. Only a hint: whoever waits also looks by itself once a second.
 */
export class Hints {
  readonly #target = new EventTarget();

  wake(site: string): void {
    this.#target.dispatchEvent(new Event(site));
  }

  wakeAll(sites: Iterable<string>): void {
    for (const site of sites) this.wake(site);
  }

  /** Resolves at a wake, after `ms`, or when the signal aborts. */
  wait(site: string, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#target.removeEventListener(site, done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#target.addEventListener(site, done, { once: true });
      if (signal.aborted) done();
      else signal.addEventListener("abort", done, { once: true });
    });
  }
}
