/** The buffers that were used last, up to so many bytes together. */
export class ByteLru {
  readonly #maxBytes: number;
  readonly #dropped: (value: Buffer) => void;
  readonly #entries = new Map<string, Buffer>();
  #bytes = 0;

  /** @param dropped gets each buffer that is not kept any more */
  constructor(maxBytes: number, dropped: (value: Buffer) => void = () => {}) {
    this.#maxBytes = maxBytes;
    this.#dropped = dropped;
  }

  get(key: string): Buffer | undefined {
    const found = this.#entries.get(key);
    if (found) {
      this.#entries.delete(key);
      this.#entries.set(key, found);
    }
    return found;
  }

  set(key: string, value: Buffer): void {
    this.delete(key);
    this.#entries.set(key, value);
    this.#bytes += value.buffer.byteLength;
    for (const [oldest] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const found = this.#entries.get(key);
    if (!found) return;
    this.#bytes -= found.buffer.byteLength;
    this.#entries.delete(key);
    this.#dropped(found);
  }

  /** Walks through all of them. */
  deleteAll(beginning: string): void {
    for (const key of [...this.#entries.keys()]) if (key.startsWith(beginning)) this.delete(key);
  }
}
