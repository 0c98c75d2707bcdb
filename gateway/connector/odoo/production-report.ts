import { Decimal } from "decimal.js";
import type { z } from "zod";
import { finishedGoodsConfirmed } from "../../../protocol/index.ts";
import type { Outcome } from "../connector.ts";
import { type ByLot, Catalog, leaveUnreported, positive, rawCommands, readOutstanding } from "./consumption.ts";
import { type Entry, entriesOn, findEntry, noteCommand, sameMessage, type Tag, tagOf } from "./journal.ts";
import { type Desk, dataOf, done, type Found, notDone, type Operation, wizardOf } from "./operation.ts";
import { findLots, type OrderChain, readChain } from "./order.ts";
import { fromOdooNumber, toOdooQuantity, Unbookable } from "./quantities.ts";
import { type Product, type Production, production, rawMove } from "./records.ts";

type Report = z.infer<typeof finishedGoodsConfirmed.data>;

/**
 * `finished-goods.confirmed` to the open order of the chain: one absolute write of quantity, lot, components' lines and note, then
 * `button_mark_done`, which must not be repeated on a done order (it erases the genealogy), so the state is read before it.
 * What is left over goes on in Odoo's backorder, unless the report is final.
 */
export const productionReport: Operation = {
  async find(desk, event) {
    const tag = tagOf(event);
    const entry = await findEntry(desk.client, "mrp.production", tag, desk.signal);
    return entry ? stateOf(desk, entry.record, tag) : notDone;
  },

  async book(desk, event) {
    const data = dataOf(finishedGoodsConfirmed, event);
    if (data.reversalOf !== undefined) throw new Unbookable("a reversal of finished goods is made in Odoo");
    const tag = tagOf(event);
    const chain = await readChain(desk, data.moId);
    const products = new Catalog(desk.client, desk.measures, desk.signal);
    const product = await products.find(data.item);
    if (product.id !== chain.released.product_id[0])
      throw new Unbookable(`${data.moId} makes ${chain.released.product_id[1]}, not ${data.item}`);
    const { outstanding, entries } = await readOutstanding(desk.client, chain, products, desk.signal);
    const order = chain.open;
    const good = toOdooQuantity(data.goodQty, (order ?? chain.released).product_uom_id[1], desk.measures);
    if (good.isZero()) return closeWithout(desk, data, tag, { chain, outstanding, entries });
    if (!order) throw new Unbookable(`${chain.released.name} is closed in Odoo, and more was reported`);

    const wanted = await consumptionOf(data, outstanding, products);
    const lots = await lotCommands(desk, product, data);
    const values: Record<string, unknown> = { qty_producing: good.toNumber(), lot_producing_ids: lots };
    if (wanted.size > 0) values.move_raw_ids = await rawCommands(desk.client, order.id, wanted, products, desk.signal);
    const note = noteCommand("mrp.production", tag, sentence(data));
    await desk.client.write(
      "mrp.production",
      [order.id],
      { ...values, message_ids: lastIs(entries, order.id, tag) ? [] : [note] },
      desk.signal,
    );
    await leaveUnreported(desk.client, order.id, wanted, products, desk.signal);
    if (wanted.size === 0) await scaleByBillOfMaterials(desk, order);

    const left = fromOdooNumber(order.product_qty, desk.measures.digits).minus(good);
    const context = {
      skip_redirection: true,
      // consumption is what was reported; Odoo's comparison with its bill of materials is a question for nobody
      skip_consumption: true,
      skip_backorder: true,
      ...(left.greaterThan(0) && !data.final ? { mo_ids_to_backorder: [order.id] } : {}),
      lang: "en_US",
    };
    const answer = await desk.client.invoke(
      "mrp.production",
      "button_mark_done",
      [order.id],
      { context },
      { signal: desk.signal, nature: "write" },
    );
    const after = await stateOf(desk, order.id, tag);
    return after.kind === "done" ? after : { kind: "refused", reason: `Odoo did not close ${order.name}.${wizardOf(answer)}` };
  },
};

/** Done when the order is, and when this report is the last one noted on it: an order of Odoo takes one report. */
async function stateOf(desk: Desk, id: number, tag: Tag): Promise<Found> {
  const [row] = await desk.client.search("mrp.production", production, [["id", "=", id]], desk.signal);
  if (row?.state !== "done" && row?.state !== "cancel") return notDone;
  return lastIs(await entriesOn(desk.client, "mrp.production", [id], desk.signal), id, tag) ? done(row.name) : notDone;
}

function lastIs(entries: readonly Entry[], record: number, tag: Tag): boolean {
  const last = entries.filter((entry) => entry.record === record && entry.tag.type === tag.type).at(-1);
  return last !== undefined && sameMessage(last.tag, tag);
}

/**
 * What goes into these goods. The report's own genealogy speaks for the components that it lists; for the others, what was reported as
 * consumed. A final report takes all that is outstanding besides.
 */
export async function consumptionOf(
  data: Report,
  outstanding: ByLot,
  products: Pick<Catalog, "toUnit" | "lotOf">,
): Promise<Map<string, Map<string, Decimal>>> {
  const listed = new Map<string, Map<string, Decimal>>();
  for (const line of data.genealogy) {
    const lots = listed.get(line.item) ?? new Map<string, Decimal>();
    const lot = await products.lotOf(line.item, line.lot);
    listed.set(line.item, lots.set(lot, (lots.get(lot) ?? new Decimal(0)).plus(await products.toUnit(line.item, line.qty))));
  }
  for (const [item, all] of outstanding) {
    const open = positive(all);
    const lots = listed.get(item);
    if (!lots) {
      if (open.size > 0) listed.set(item, open);
    } else if (data.final) {
      for (const [lot, amount] of open) lots.set(lot, Decimal.max(amount, lots.get(lot) ?? 0));
    }
  }
  return listed;
}

async function lotCommands(desk: Desk, product: Product, data: Report): Promise<unknown[]> {
  if (product.tracking === "none") return [[6, 0, []]];
  const names = product.tracking === "serial" && data.serials ? data.serials : data.lot === undefined ? [] : [data.lot];
  // without one Odoo would make up a lot from its sequence
  if (names.length === 0)
    throw new Unbookable(`${data.item} is tracked by ${product.tracking} in Odoo, and the report names none`);
  const known = await findLots(desk.client, product.id, names, desk.signal);
  const existing = names.flatMap((name) => known.get(name) ?? []);
  return [[6, 0, existing], ...names.filter((name) => !known.has(name)).map((name) => [0, 0, { name, product_id: product.id }])];
}

/** No consumption was reported at all: Odoo's own figures, as its web client would set them. */
async function scaleByBillOfMaterials(desk: Desk, order: Production): Promise<void> {
  await desk.client.invoke("mrp.production", "set_qty_producing", [order.id], {}, { signal: desk.signal, nature: "write" });
  const moves = await desk.client.search(
    "stock.move",
    rawMove,
    [
      ["raw_material_production_id", "=", order.id],
      ["state", "not in", ["done", "cancel"]],
    ],
    desk.signal,
  );
  const unpicked = moves.find((move) => !move.picked && move.product_uom_qty > 0);
  // done like this, Odoo would cancel the component and make the goods from nothing
  if (unpicked)
    throw new Unbookable(
      `no consumption was reported, and Odoo cannot tell that of ${unpicked.product_id[1]} while its pick is open`,
    );
}

/** A report of no pieces: final closes what is open, else it is only a note. */
async function closeWithout(
  desk: Desk,
  data: Report,
  tag: Tag,
  { chain, outstanding, entries }: { chain: OrderChain; outstanding: ByLot; entries: readonly Entry[] },
): Promise<Outcome> {
  const order = chain.open;
  if (!order) return done(chain.released.name);
  if (data.final && [...outstanding.values()].some((lots) => positive(lots).size > 0)) {
    throw new Unbookable("material was consumed, and nothing was made of it: close the order in Odoo");
  }
  if (!lastIs(entries, order.id, tag)) {
    await desk.client.write(
      "mrp.production",
      [order.id],
      { message_ids: [noteCommand("mrp.production", tag, sentence(data))] },
      desk.signal,
    );
  }
  if (data.final)
    await desk.client.invoke("mrp.production", "action_cancel", [order.id], {}, { signal: desk.signal, nature: "write" });
  return done(order.name);
}

function sentence(data: Report): string {
  const lot = data.lot === undefined ? "" : `, lot ${data.lot}`;
  return `Finished ${data.goodQty.value} ${data.goodQty.unitCode} of ${data.item}${lot}${data.final ? ", final" : ""} (${data.txnId})`;
}
