import { Decimal } from "decimal.js";

/** Splits an amount into two parts that add up to it: pieces stay whole, everything else has two digits. The second part is undefined when there is nothing to split. */
export function halves(amount: string, uom: string): readonly [string, string | undefined] {
  const whole = new Decimal(amount);
  const first = whole.dividedBy(2).toDecimalPlaces(uom === "C62" ? 0 : 2, Decimal.ROUND_DOWN);
  if (first.lte(0)) return [whole.toFixed(), undefined];
  return [first.toFixed(), whole.minus(first).toFixed()];
}

/** The digits at the end of an id: simulators vary what they do by it, so that a run can be told again. */
export function numberOf(id: string): number {
  return Number(/(\d+)$/.exec(id)?.[1] ?? 0);
}
