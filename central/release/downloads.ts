/** Of each replica: a stream holds a chunk in memory. */
const limits = { atOnce: 32, perSite: 2, silentMs: 60_000 };

interface Open {
  readonly site: string;
  readonly stop: () => void;
  timer: NodeJS.Timeout;
}

/** One that is open. `moved`: its reader took something, and is expected to take more. */
export interface Download {
  moved(): void;
  end(): void;
}

/**
 * Packages that are on their way from here. A site has two at once at most, and its newest ones stay: what it opened before a line died is nobody's.
 * One of which nothing is taken for a minute is ended, so that lines which died leave room to those that live.
 */
export class Downloads {
  readonly #limits: typeof limits;
  readonly #open = new Set<Open>();

  constructor(given: Partial<typeof limits> = {}) {
    this.#limits = { ...limits, ...given };
  }

  /** Whether another site's would be one too many. */
  isFullFor(site: string): boolean {
    return this.#open.size >= this.#limits.atOnce && this.#of(site).length < this.#limits.perSite;
  }

  /** @param stop ends the stream; not called after `end` */
  begin(site: string, stop: () => void): Download {
    const own = this.#of(site);
    for (const old of own.slice(0, Math.max(0, own.length + 1 - this.#limits.perSite))) this.#stop(old);
    const open: Open = { site, stop, timer: this.#watch(() => this.#stop(open)) };
    this.#open.add(open);
    return {
      moved: () => {
        if (!this.#open.has(open)) return;
        clearTimeout(open.timer);
        open.timer = this.#watch(() => this.#stop(open));
      },
      end: () => this.#forget(open),
    };
  }

  #of(site: string): Open[] {
    return [...this.#open].filter((open) => open.site === site);
  }

  #watch(over: () => void): NodeJS.Timeout {
    return setTimeout(over, this.#limits.silentMs).unref();
  }

  #forget(open: Open): void {
    clearTimeout(open.timer);
    this.#open.delete(open);
  }

  #stop(open: Open): void {
    this.#forget(open);
    open.stop();
  }
}
