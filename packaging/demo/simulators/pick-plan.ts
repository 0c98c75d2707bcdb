import type { Fact, PickFact } from "./entry.ts";
import { halves, numberOf } from "./quantities.ts";
import type { ShopOrder } from "./shop-order.ts";

/** What the warehouse will report of an order, in order. */
export type PickPlan = readonly Extract<Fact, { fact: "pick" | "shortage" }>[];

/** The lots on the warehouse's shelves; what is not listed has one lot. */
const shelves: Readonly<Record<string, readonly string[]>> = {
  "RM-ALU": ["L-2291", "L-2292"],
  "RM-SCR": ["L-5510", "L-5511"],
  "RM-SEAL": ["L-7301"],
};

/**
 * Every third component comes from two lots, where there are two; every fourth order is confirmed in two parts; every ninth one first has a shortage.
 * `next` counts the warehouse's transactions.
 */
export function planPicks(order: ShopOrder, plantDigit: number, next: () => number): PickPlan {
  const n = numberOf(order.order);
  const task = `PK-${plantDigit}${next()}`;
  const lines = order.lines.slice(0, 3);
  const partial = n % 4 === 0;
  const shares: { sku: string; uom: string; qty: string }[][] = [[], []];
  for (const { item: sku, qty, uom } of lines) {
    const [first, second] = partial ? halves(qty, uom) : [qty, undefined];
    shares[0]?.push({ sku, uom, qty: first });
    if (second !== undefined) shares[1]?.push({ sku, uom, qty: second });
  }
  const picks = shares
    .filter((share) => share.length > 0)
    .map((share, part): PickFact => {
      const picked = share.flatMap(({ sku, uom, qty }, index) => {
        const lots = shelves[sku] ?? [`L-${sku}`];
        const [first, second] = (n + index) % 3 === 0 && lots.length > 1 ? halves(qty, uom) : [qty, undefined];
        const lot = (k: number): string => lots[(n + k) % lots.length] ?? "";
        return [
          { sku, uom, qty: first, lot: lot(part) },
          ...(second === undefined ? [] : [{ sku, uom, qty: second, lot: lot(part + 1) }]),
        ];
      });
      const txn = `T-${plantDigit}${String(next()).padStart(5, "0")}`;
      return {
        fact: "pick",
        txn,
        task,
        order: order.order,
        lines: picked.map((line, index) => ({
          no: index + 1,
          ...line,
          sscc: `3401234${plantDigit}${String(next()).padStart(10, "0")}`,
        })),
      };
    });
  const missing = lines[0];
  if (n % 9 !== 0 || !missing) return picks;
  const txn = `T-${plantDigit}${String(next()).padStart(5, "0")}`;
  return [
    {
      fact: "shortage",
      txn,
      order: order.order,
      sku: missing.item,
      short: halves(missing.qty, missing.uom)[0],
      uom: missing.uom,
    },
    ...picks,
  ];
}
