/** Admits bodies by the length they announce, so that a storm of returning plants meets push-back and not memory (rule 21). */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** @returns what gives the bytes back, once; undefined where there is no room */
  admit(bytes: number): (() => void) | undefined {
    if (this.#used + bytes > this.#limit) return undefined;
    this.#used += bytes;
    let held = true;
    return () => {
      if (held) this.#used -= bytes;
      held = false;
    };
  }
}
