import type { Said } from "./plant-peers.ts";
import { type Booked, type Expected, sorted } from "./scenario.ts";
import type { Plant, Warehouse } from "./setup.ts";

interface Part {
  readonly item: string;
  readonly lot: string;
  readonly qty: string;
  readonly uom: string;
}
interface PickPayload {
  readonly txn: string;
  readonly order: string;
  readonly lines: readonly { readonly sku: string; readonly lot: string; readonly qty: string; readonly uom: string }[];
}
interface FinishedPayload {
  readonly txn: string;
  readonly order: string;
  readonly item: string;
  readonly lot: string;
  readonly good: string;
  readonly consumed: readonly Part[];
}
type ScrapPayload = Part & { readonly txn: string; readonly order: string };

/** From units on the wire to those in which Odoo keeps the items. */
const inOdooUnit: Readonly<Record<string, (value: number) => number>> = {
  C62: (value) => value,
  KGM: (value) => value,
  GRM: (value) => value / 1000,
};

function amount(qty: string, uom: string): number {
  const convert = inOdooUnit[uom];
  if (!convert) throw new Error(`the log holds a unit that is not expected here: ${uom}`);
  return convert(Number(qty));
}

/** What the log of an order has to leave in Odoo: a transaction that was sent twice counts once. */
export function expectedFrom(log: readonly Said[], order: string, plant: Plant, warehouse: Warehouse): Expected {
  const { stock, preProduction } = warehouse;
  const lines: Booked[] = [];
  const genealogy: Record<string, readonly string[]> = {};
  const counted = new Set<string>();
  for (const { topic, payload } of log) {
    const said = JSON.parse(payload) as PickPayload | FinishedPayload | ScrapPayload;
    if (said.order !== order || counted.has(said.txn)) continue;
    counted.add(said.txn);
    if (topic.startsWith("wms/picks/")) {
      for (const { sku, lot, qty, uom } of (said as PickPayload).lines)
        lines.push({ kind: "pick", item: sku, lot, quantity: amount(qty, uom), from: stock, to: preProduction });
    } else if (topic.endsWith("/finished")) {
      const { item, lot, good, consumed } = said as FinishedPayload;
      if (item !== plant.items.housing.code) throw new Error(`the log reports ${item} as made`);
      lines.push({ kind: "finished", item, lot, quantity: Number(good), from: -1, to: stock });
      for (const part of consumed)
        lines.push({
          kind: "consumed",
          item: part.item,
          lot: part.lot,
          quantity: amount(part.qty, part.uom),
          from: preProduction,
          to: "production",
        });
      genealogy[lot] = consumed.map((part) => `${part.item} ${part.lot} ${amount(part.qty, part.uom)}`).sort();
    } else if (topic.endsWith("/scrap")) {
      const { item, lot, qty, uom } = said as ScrapPayload;
      lines.push({ kind: "scrap", item, lot, quantity: amount(qty, uom), from: preProduction, to: "scrap" });
    }
  }
  return { lines: sorted(lines), genealogy };
}
