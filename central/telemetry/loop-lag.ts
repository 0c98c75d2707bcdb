const tickMs = 50;

/** How late the event loop is: what waits in it, sockets that are not read yet too, waits at least so long. */
export class LoopLag {
  #tickedAt = performance.now();
  #last = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#last = Math.max(0, now - this.#tickedAt - tickMs);
      this.#tickedAt = now;
    }, tickMs);
    this.#timer.unref();
  }

  /** Of the turn that runs, or of the one before it. */
  get ms(): number {
    return Math.max(this.#last, performance.now() - this.#tickedAt - tickMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
