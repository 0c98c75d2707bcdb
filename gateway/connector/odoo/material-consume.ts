import { Decimal } from "decimal.js";
import { materialConsumed } from "../../../protocol/index.ts";
import { Catalog, positive, rawCommands, readOutstanding } from "./consumption.ts";
import { findEntry, noteCommand, sameMessage, type Tag, tagOf } from "./journal.ts";
import { dataOf, done, notDone, type Operation } from "./operation.ts";
import { readChain } from "./order.ts";
import { Unbookable } from "./quantities.ts";
import { production } from "./records.ts";

/**
 * `material.consumed` to the lines of the order's component. One write sets the lines to all that was reported and is not done yet, and
 * adds the note that counts this message, so that both happen or neither. Stock moves with the report of finished goods.
 */
export const materialConsume: Operation = {
  async find(desk, event) {
    const entry = await findEntry(
      desk.client,
      "mrp.production",
      consumedTag(dataOf(materialConsumed, event), event),
      desk.signal,
    );
    if (!entry) return notDone;
    const [order] = await desk.client.search("mrp.production", production, [["id", "=", entry.record]], desk.signal);
    return done(order?.name ?? `order ${entry.record}`);
  },

  async book(desk, event) {
    const data = dataOf(materialConsumed, event);
    if (data.reversalOf !== undefined) throw new Unbookable("a reversal of consumption is made in Odoo");
    const tag = consumedTag(data, event);
    const chain = await readChain(desk, data.moId);
    const products = new Catalog(desk.client, desk.measures, desk.signal);
    const amount = await products.toUnit(data.item, data.qty);
    const { outstanding, entries } = await readOutstanding(desk.client, chain, products, desk.signal);
    const noted = entries.find((entry) => sameMessage(entry.tag, tag));
    if (noted) return done(chain.members.find((order) => order.id === noted.record)?.name ?? data.moId);

    const lots = new Map(outstanding.get(data.item));
    const lotKey = await products.lotOf(data.item, data.lot);
    const total = (lots.get(lotKey) ?? new Decimal(0)).plus(amount);
    lots.set(lotKey, total);
    const lot = data.lot === undefined ? "" : `, lot ${data.lot}`;
    const note = noteCommand(
      "mrp.production",
      tag,
      `Consumed ${data.qty.value} ${data.qty.unitCode} of ${data.item}${lot} (${data.txnId})`,
    );
    const order = chain.open;
    if (!order) {
      // the report that listed it came first, and closed the order: the note keeps the count
      if (total.greaterThan(0))
        throw new Unbookable(`${chain.released.name} is closed in Odoo, and this consumption is in no report`);
      const last = chain.members.at(-1) ?? chain.released;
      await desk.client.write("mrp.production", [last.id], { message_ids: [note] }, desk.signal);
      return done(last.name);
    }
    const commands = await rawCommands(desk.client, order.id, new Map([[data.item, positive(lots)]]), products, desk.signal);
    await desk.client.write("mrp.production", [order.id], { move_raw_ids: commands, message_ids: [note] }, desk.signal);
    return done(order.name);
  },
};

function consumedTag(
  data: { item: string; lot?: string | undefined; qty: { value: string; unitCode: string } },
  event: Parameters<typeof tagOf>[0],
): Tag {
  return tagOf(event, {
    item: data.item,
    ...(data.lot === undefined ? {} : { lot: data.lot }),
    quantity: data.qty.value,
    unitCode: data.qty.unitCode,
  });
}
