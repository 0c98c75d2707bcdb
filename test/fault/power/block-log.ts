import type { Random } from "../random.ts";

const sectorBytes = 512;

/** What a cut did with the writes that no flush covered. */
export interface CutReport {
  readonly unflushed: number;
  readonly kept: number;
  readonly torn: number;
  readonly dropped: number;
}

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * A disk with a volatile write cache: reads see every write; a flush makes all writes before it durable; a cut leaves what is durable
 * and of the rest whatever the disk happened to have written. Modes: `live` logs writes; `dead` (the power is gone, the machine's
 * kernel does not know yet) takes them without effect beyond what it reads back. `live` → `dead` by {@link die}, back by {@link cut}.
 */
export class BlockLog {
  /** What the machine reads. */
  readonly current: Buffer;
  readonly #durable: Buffer;
  #pending: Write[] = [];
  /** Where `current` may differ from `durable`, beside the pending writes. */
  #afterDeath: { offset: number; length: number }[] = [];
  #dead = false;
  writes = 0;
  flushes = 0;

  constructor(sizeBytes: number) {
    this.current = Buffer.alloc(sizeBytes);
    this.#durable = Buffer.alloc(sizeBytes);
  }

  get pending(): number {
    return this.#pending.length;
  }

  write(offset: number, bytes: Buffer): void {
    bytes.copy(this.current, offset);
    if (this.#dead) {
      this.#afterDeath.push({ offset, length: bytes.length });
      return;
    }
    this.writes += 1;
    this.#pending.push({ offset, bytes: Buffer.from(bytes) });
  }

  flush(): void {
    if (this.#dead) return;
    this.flushes += 1;
    for (const { offset, bytes } of this.#pending) bytes.copy(this.#durable, offset);
    this.#pending = [];
  }

  /** From here on nothing reaches the disk. */
  die(): void {
    this.#dead = true;
  }

  /** Whether these bytes would survive any cut. */
  isDurable(bytes: Buffer): boolean {
    return this.#durable.includes(bytes);
  }

  /**
   * What is on the disk when the power comes back: everything flushed, and of the unflushed writes a random part in random order, some of
   * them torn between sectors. Reads see that from now on.
   */
  cut(random: Random): CutReport {
    const pending = this.#pending;
    const share = random.pick([0, 0.25, 0.5, 0.75, 1]);
    let kept = 0;
    let torn = 0;
    for (const { offset, bytes } of random.shuffled(pending)) {
      if (!random.chance(share)) continue;
      kept += 1;
      if (!random.chance(0.25)) {
        bytes.copy(this.#durable, offset);
        continue;
      }
      torn += 1;
      for (let at = 0; at < bytes.length; at += sectorBytes)
        if (random.chance(0.5)) bytes.copy(this.#durable, offset + at, at, Math.min(bytes.length, at + sectorBytes));
    }
    for (const { offset, length } of [
      ...pending.map(({ offset, bytes }) => ({ offset, length: bytes.length })),
      ...this.#afterDeath,
    ])
      this.#durable.copy(this.current, offset, offset, offset + length);
    this.#pending = [];
    this.#afterDeath = [];
    this.#dead = false;
    return { unflushed: pending.length, kept, torn, dropped: pending.length - kept };
  }
}
