/** One connection's share. */
export interface Holder {
  /** What it holds now, told to the budget from now on. */
  recount(): number;
  /** Ends the connection. */
  giveWay(): void;
}

/** What a connection may have under way, by how much all of them have. */
const allowance = { usualBytes: 4 * 1024 * 1024, tightBytes: 32 * 1024 };

/**
 * What all connections hold together: packets that have not come whole, messages on their way to the disk, and what receivers have not
 * read. From a quarter of it on each is read from less far; past it the one that holds most gives way, so that few with much do not keep
 * out many with little.
 */
export class MemoryBudget {
  readonly #mostBytes: number;
  readonly #holders = new Set<Holder>();
  #heldBytes = 0;

  constructor(mostBytes = 128 * 1024 * 1024) {
    this.#mostBytes = mostBytes;
  }

  get allowanceBytes(): number {
    return this.#heldBytes * 4 > this.#mostBytes ? allowance.tightBytes : allowance.usualBytes;
  }

  join(holder: Holder): void {
    this.#holders.add(holder);
  }

  leave(holder: Holder, heldBytes: number): void {
    if (this.#holders.delete(holder)) this.#heldBytes -= heldBytes;
  }

  moved(changeBytes: number): void {
    this.#heldBytes += changeBytes;
    if (changeBytes > 0 && this.#heldBytes > this.#mostBytes) this.#relieve();
  }

  #relieve(): void {
    let largest: Holder | undefined;
    let most = 0;
    this.#heldBytes = 0;
    for (const holder of this.#holders) {
      const bytes = holder.recount();
      this.#heldBytes += bytes;
      if (bytes <= most) continue;
      most = bytes;
      largest = holder;
    }
    if (this.#heldBytes <= this.#mostBytes || !largest) return;
    largest.giveWay();
    this.#relieve();
  }
}
