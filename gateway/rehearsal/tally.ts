import type { DryRunResult, FieldDifference } from "../../protocol/index.ts";
import type { Difference, Refusal } from "./compare.ts";

/** Places that are told apart; what more there are counts as one. */
const maxPaths = 200;
const maxReasons = 20;
/** Of an example, as JSON. */
const maxExampleLength = 1024;
const otherPaths = "(other fields)";

type Reasons = DryRunResult["flows"][number]["reasons"];

/** Where two ways differ, and what is refused: counts, with one example each. Its size is bounded, whatever it is told. */
export class Tally {
  readonly #fields = new Map<string, FieldDifference>();
  readonly #reasons = new Map<string, Reasons[number]>();

  /** Goes on where another one stood. */
  constructor(from: { readonly fields: readonly FieldDifference[]; readonly reasons: Reasons } = { fields: [], reasons: [] }) {
    for (const field of from.fields) this.#fields.set(field.path, field);
    for (const reason of from.reasons) this.#reasons.set(reason.code, reason);
  }

  differ(differences: readonly Difference[]): void {
    for (const { path, ...sides } of differences) {
      const known = this.#fields.get(path.slice(0, 1000));
      if (known) known.count += 1;
      else if (this.#fields.size < maxPaths)
        this.#fields.set(path.slice(0, 1000), { path: path.slice(0, 1000), count: 1, ...example(sides) });
      else {
        const other = this.#fields.get(otherPaths) ?? { path: otherPaths, count: 0 };
        other.count += 1;
        this.#fields.set(otherPaths, other);
      }
    }
  }

  refuse({ code, reason }: Refusal): void {
    const known = this.#reasons.get(code);
    if (known) known.count += 1;
    else if (this.#reasons.size < maxReasons) this.#reasons.set(code, { code, count: 1, message: reason.slice(0, 500) });
  }

  get fields(): FieldDifference[] {
    return [...this.#fields.values()].map((field) => ({ ...field })).sort((a, b) => b.count - a.count);
  }

  get reasons(): Reasons {
    return [...this.#reasons.values()].map((reason) => ({ ...reason })).sort((a, b) => b.count - a.count);
  }
}

function example(sides: Omit<Difference, "path">): Omit<Difference, "path"> {
  return Object.fromEntries(Object.entries(sides).map(([side, value]) => [side, clipped(value)]));
}

/** A value as it is, or the beginning of its JSON where that is long. */
export function clipped(value: unknown, maxLength = maxExampleLength): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined || text.length <= maxLength ? (value ?? null) : `${text.slice(0, maxLength)}…`;
}
