/** How something went: `recorded` well, or to a dead letter. */
export interface Tally {
  /** Inputs (`in`) or deliveries (`out`) of one flow: `in picks`. Inputs that no flow takes: `in`. */
  readonly of: string;
  readonly recorded: number;
  readonly deadLetters: number;
}

/** Counts per flow, since the process began. Each alone: what a line sends in a day is nothing beside the samples of a minute. */
export class Tallies {
  readonly #counts = new Map<string, { recorded: number; deadLetters: number }>();

  add(of: string, recorded: number, deadLetters: number): void {
    const counts = this.#counts.get(of);
    if (counts === undefined) {
      this.#counts.set(of, { recorded, deadLetters });
      return;
    }
    counts.recorded += recorded;
    counts.deadLetters += deadLetters;
  }

  get all(): Tally[] {
    return [...this.#counts].map(([of, counts]) => ({ of, ...counts }));
  }
}

/** What was added since an earlier look. */
export function since(earlier: readonly Tally[], now: readonly Tally[]): Tally[] {
  const before = new Map(earlier.map((tally) => [tally.of, tally]));
  return now.map(({ of, recorded, deadLetters }) => {
    const { recorded: had = 0, deadLetters: lost = 0 } = before.get(of) ?? {};
    return { of, recorded: recorded - had, deadLetters: deadLetters - lost };
  });
}

/** What both counted. */
export function together(one: readonly Tally[], other: readonly Tally[]): Tally[] {
  const all = new Tallies();
  for (const { of, recorded, deadLetters } of [...one, ...other]) all.add(of, recorded, deadLetters);
  return all.all;
}

export function sumOf(tallies: readonly Tally[]): Pick<Tally, "recorded" | "deadLetters"> {
  return tallies.reduce(
    (sum, { recorded, deadLetters }) => ({
      recorded: sum.recorded + recorded,
      deadLetters: sum.deadLetters + deadLetters,
    }),
    { recorded: 0, deadLetters: 0 },
  );
}
