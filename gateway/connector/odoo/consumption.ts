import { Decimal } from "decimal.js";
import type { Quantity } from "../../../protocol/index.ts";
import type { OdooClient } from "./client.ts";
import { type Entry, entriesOn } from "./journal.ts";
import { findLots, findProduct, NotYetKnown, type OrderChain, readProducts } from "./order.ts";
import { fromOdooNumber, type Measures, toOdooQuantity, Unbookable } from "./quantities.ts";
import { doneLine, type MoveLine, moveLine, type Product, type RawMove, rawMove } from "./records.ts";

const consumedType = "mfg.material.consumed.v1";

/** Quantities by item, then by lot name ("" where the item has no lots), in the product's own unit. */
export type ByLot = ReadonlyMap<string, ReadonlyMap<string, Decimal>>;

/**
 * What was reported as consumed by an order and is in no done order yet: the notes of all consumption less the lines already done. It
 * follows from what Odoo holds, so it is the same after a crash, and a consumption that comes after the report that listed it adds nothing.
 */
export async function readOutstanding(
  client: OdooClient,
  chain: OrderChain,
  products: Catalog,
  signal: AbortSignal,
): Promise<{ readonly outstanding: ByLot; readonly entries: readonly Entry[] }> {
  const ids = chain.members.map((order) => order.id);
  const entries = await entriesOn(client, "mrp.production", ids, signal);
  const done = await client.search(
    "stock.move.line",
    doneLine,
    [
      ["move_id.raw_material_production_id", "in", ids],
      ["state", "=", "done"],
      // scrap of a component hangs on the order as well, and is no consumption
      ["move_id.scrap_id", "=", false],
    ],
    signal,
  );
  const sums = new Map<string, Map<string, Decimal>>();
  const add = (item: string, lot: string, amount: Decimal): void => {
    const lots = sums.get(item) ?? new Map<string, Decimal>();
    sums.set(item, lots.set(lot, (lots.get(lot) ?? new Decimal(0)).plus(amount)));
  };
  for (const { tag } of entries) {
    if (tag.type !== consumedType || tag.item === undefined || tag.quantity === undefined || tag.unitCode === undefined) continue;
    const amount = { value: tag.quantity, unitCode: tag.unitCode, scale: 0 } as Quantity;
    add(tag.item, await products.lotOf(tag.item, tag.lot), await products.toUnit(tag.item, amount));
  }
  const byId = await readProducts(
    client,
    done.map((line) => line.product_id[0]),
    signal,
  );
  for (const line of done) {
    const item = byId.get(line.product_id[0])?.default_code;
    if (item)
      add(item, line.lot_id ? line.lot_id[1] : "", fromOdooNumber(line.quantity_product_uom, products.measures.digits).negated());
  }
  return { outstanding: sums, entries };
}

/** Positive quantities only. */
export function positive(lots: ReadonlyMap<string, Decimal> | undefined): Map<string, Decimal> {
  return new Map([...(lots ?? [])].filter(([, amount]) => amount.greaterThan(0)));
}

/** Products of one delivery, each looked up once. */
export class Catalog {
  readonly measures: Measures;
  readonly #client: OdooClient;
  readonly #signal: AbortSignal;
  readonly #byItem = new Map<string, Promise<Product>>();

  constructor(client: OdooClient, measures: Measures, signal: AbortSignal) {
    this.#client = client;
    this.measures = measures;
    this.#signal = signal;
  }

  /** @throws NotYetKnown, Unbookable */
  find(item: string): Promise<Product> {
    const known = this.#byItem.get(item) ?? findProduct(this.#client, item, this.#signal);
    this.#byItem.set(item, known);
    return known;
  }

  /** What lines of an item are told apart by: its lot, or nothing where Odoo keeps no lots of it. */
  async lotOf(item: string, lot: string | undefined): Promise<string> {
    return (await this.find(item)).tracking === "none" ? "" : (lot ?? "");
  }

  async toUnit(item: string, amount: Quantity): Promise<Decimal> {
    return toOdooQuantity(amount, (await this.find(item)).uom_id[1], this.measures);
  }
}

/**
 * The commands for an order's `move_raw_ids` that make its components' lines exactly `wanted`, item by item; components not in it stay as
 * they are. Absolute: written twice they change nothing more. `manual_consumption` keeps Odoo from scaling the lines by the bill of materials.
 * @throws NotYetKnown for a lot, Unbookable for a missing one
 */
export async function rawCommands(
  client: OdooClient,
  orderId: number,
  wanted: ByLot,
  products: Catalog,
  signal: AbortSignal,
): Promise<unknown[]> {
  const moves = await client.search(
    "stock.move",
    rawMove,
    [
      ["raw_material_production_id", "=", orderId],
      ["state", "not in", ["done", "cancel"]],
    ],
    signal,
  );
  const lines =
    moves.length === 0
      ? []
      : await client.search("stock.move.line", moveLine, [["move_id", "in", moves.map((move) => move.id)]], signal);
  const commands: unknown[] = [];
  for (const [item, lots] of wanted) {
    const product = await products.find(item);
    const move = moves.find((candidate) => candidate.product_id[0] === product.id);
    const names = [...lots.keys()].filter((name) => name !== "");
    const ids = product.tracking === "none" ? new Map<string, number>() : await findLots(client, product.id, names, signal);
    const targets = [...lots].map(([name, amount]): LineTarget => {
      if (product.tracking === "none") return { lot: false, amount };
      if (name === "") throw new Unbookable(`${item} is tracked by ${product.tracking} in Odoo, and the message names none`);
      const lot = ids.get(name);
      if (lot === undefined) throw new NotYetKnown(`Odoo has no lot ${name} of ${item}`);
      return { lot, amount };
    });
    if (!move) {
      const like = moves[0];
      if (!like) throw new Unbookable(`the order uses no components, and ${item} was reported`);
      commands.push([0, 0, additionalMove(like, product, targets)]);
      continue;
    }
    const own = lines.filter((line) => line.move_id && line.move_id[0] === move.id);
    commands.push([1, move.id, { manual_consumption: true, move_line_ids: lineCommands(move, product, own, targets) }]);
  }
  return commands;
}

/**
 * Sees to it that closing the order takes nothing of components that nobody reported. Of one that the bill of materials ties to an operation Odoo asks
 * for lots first ("manual consumption"), and its work order takes what the bill of materials says; without both it is like a component
 * of the whole order. Odoo's backorder has both anew. Absolute, and the last write before the order is closed: any other one of the
 * order's components ties them to their work orders again.
 */
export async function leaveUnreported(
  client: OdooClient,
  orderId: number,
  wanted: ByLot,
  products: Catalog,
  signal: AbortSignal,
): Promise<void> {
  const open = await client.search(
    "stock.move",
    rawMove,
    [
      ["raw_material_production_id", "=", orderId],
      ["state", "not in", ["done", "cancel"]],
      ["operation_id", "!=", false],
    ],
    signal,
  );
  const reported = new Set<number>();
  for (const item of wanted.keys()) reported.add((await products.find(item)).id);
  const left = open.filter((move) => !move.picked && !reported.has(move.product_id[0])).map((move) => move.id);
  if (left.length > 0) await client.write("stock.move", left, { manual_consumption: false, workorder_id: false }, signal);
}

/** A component that the order did not plan. Its demand is nothing, so that Odoo asks nobody to bring it. */
function additionalMove(like: RawMove, product: Product, targets: readonly LineTarget[]): Record<string, unknown> {
  return {
    product_id: product.id,
    product_uom: product.uom_id[0],
    product_uom_qty: 0,
    location_id: like.location_id[0],
    location_dest_id: like.location_dest_id[0],
    manual_consumption: true,
    move_line_ids: lineCommands(like, product, [], targets),
  };
}

export interface LineTarget {
  readonly lot: number | false;
  readonly amount: Decimal;
}

/**
 * The commands that leave exactly `targets` picked on a raw move. A reserved line of the same lot is reused; picked lines that nobody
 * reported go, reserved ones stay unpicked and drop out when the order is done. Never `[5]`: it orphans lines and leaks reservations.
 */
export function lineCommands(
  move: Pick<RawMove, "location_id" | "location_dest_id">,
  product: Pick<Product, "id" | "uom_id">,
  lines: readonly MoveLine[],
  targets: readonly LineTarget[],
): unknown[] {
  const left = [...lines].sort((a, b) => Number(b.picked) - Number(a.picked) || a.id - b.id);
  const writes: unknown[] = [];
  for (const { lot, amount } of mergeTargets(targets)) {
    const at = left.findIndex((line) => (line.lot_id ? line.lot_id[0] : false) === lot);
    const quantity = amount.toNumber();
    if (at >= 0) {
      const [line] = left.splice(at, 1) as [MoveLine];
      writes.push([1, line.id, { quantity, product_uom_id: product.uom_id[0], picked: true }]);
    } else {
      writes.push([
        0,
        0,
        {
          product_id: product.id,
          product_uom_id: product.uom_id[0],
          lot_id: lot,
          quantity,
          location_id: move.location_id[0],
          location_dest_id: move.location_dest_id[0],
          picked: true,
        },
      ]);
    }
  }
  return [...left.filter((line) => line.picked).map((line) => [2, line.id, 0]), ...writes];
}

function mergeTargets(targets: readonly LineTarget[]): LineTarget[] {
  const sums = new Map<number | false, Decimal>();
  for (const { lot, amount } of targets) sums.set(lot, (sums.get(lot) ?? new Decimal(0)).plus(amount));
  return [...sums].filter(([, amount]) => amount.greaterThan(0)).map(([lot, amount]) => ({ lot, amount }));
}
