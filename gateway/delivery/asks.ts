/** How often a receiver is asked about one attempt, before a person has to decide. */
const most = 5;

interface Asked {
  readonly made: number;
  readonly counted: number;
}

/**
 * How often receivers were asked in vain whether they have the effect of a delivery's last attempt. Kept in memory: a gateway that starts
 * anew asks anew, which costs a person's time at worst.
 */
export class Asks {
  readonly #asked = new Map<number, Asked>();

  /** Asked in vain once more. `counts`: the receiver was there and should have been able to tell. */
  inVain(id: number, counts: boolean): { readonly made: number; readonly usedUp: boolean } {
    const before = this.#asked.get(id);
    const made = (before?.made ?? 0) + 1;
    const counted = (before?.counted ?? 0) + (counts ? 1 : 0);
    this.#asked.set(id, { made, counted });
    return { made, usedUp: counted >= most };
  }

  forget(id: number): void {
    this.#asked.delete(id);
  }
}
