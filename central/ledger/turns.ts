import { type Lane, lanes } from "../../protocol/index.ts";

/** A lane of a site that has something to project. */
export interface Turn {
  readonly site: string;
  readonly lane: Lane;
}

/** Lanes in the order in which their backlog is projected: live business facts first (P7). */
const classes: readonly Lane[] = lanes;
/** Of so many turns each lower class has one, so that none of them starves. */
const cycle = 8;

/**
 * Whose turn it is: transactions before bulk before samples, but each lower class that waits has one turn in eight; inside a class the
 * sites take turns, however much one of them has waiting.
 */
export class Turns {
  readonly #rings = new Map<Lane, Set<string>>(classes.map((lane) => [lane, new Set<string>()]));
  #turn = 0;

  /** There is something to project: at the end of its ring; a lane that waits already keeps its place. */
  add({ site, lane }: Turn): void {
    this.#rings.get(lane)?.add(site);
  }

  get empty(): boolean {
    return [...this.#rings.values()].every((ring) => ring.size === 0);
  }

  /** Takes the next one out; whoever leaves something over adds it again. */
  next(): Turn | undefined {
    const waiting = classes.filter((lane) => (this.#rings.get(lane)?.size ?? 0) > 0);
    const [highest, ...lower] = waiting;
    if (highest === undefined) return undefined;
    this.#turn = (this.#turn + 1) % cycle;
    // the last turns of a cycle are the lower classes' own
    const lane = lower[cycle - 1 - this.#turn] ?? highest;
    const ring = this.#rings.get(lane) as Set<string>;
    const site = ring.values().next().value as string;
    ring.delete(site);
    return { site, lane };
  }
}
