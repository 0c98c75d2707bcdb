import { scrapReported } from "../../../protocol/index.ts";
import { findEntry, noteCommand, tagOf } from "./journal.ts";
import { type Desk, dataOf, done, type Found, notDone, type Operation, wizardOf } from "./operation.ts";
import { findProduct, readChain, requireLot } from "./order.ts";
import { toOdooQuantity, Unbookable } from "./quantities.ts";
import { scrap } from "./records.ts";

/**
 * `scrap.reported` to a scrap order. It is made with its note in one call, and validated only after its state was read: validating a done
 * one scraps a second time.
 */
export const scrapBook: Operation = {
  async find(desk, event) {
    const entry = await findEntry(desk.client, "stock.scrap", tagOf(event), desk.signal);
    return entry ? stateOf(desk, entry.record) : notDone;
  },

  async book(desk, event) {
    const data = dataOf(scrapReported, event);
    const tag = tagOf(event);
    let id = (await findEntry(desk.client, "stock.scrap", tag, desk.signal))?.record;
    if (id === undefined) {
      const chain = await readChain(desk, data.moId);
      const product = await findProduct(desk.client, data.item, desk.signal);
      const order = chain.open ?? chain.members.at(-1) ?? chain.released;
      const isProduct = product.id === order.product_id[0];
      const amount = toOdooQuantity(data.qty, product.uom_id[1], desk.measures).toNumber();
      if (amount === 0) throw new Unbookable("nothing was scrapped");
      const reason = data.reason.text ? `${data.reason.code}: ${data.reason.text}` : data.reason.code;
      const lot = data.lot === undefined ? "" : `, lot ${data.lot}`;
      const values = {
        product_id: product.id,
        product_uom_id: product.uom_id[0],
        lot_id: await requireLot(desk.client, product, data.lot, desk.signal),
        scrap_qty: amount,
        production_id: order.id,
        // material stands at the line, made pieces where the order puts them
        location_id: isProduct ? order.location_dest_id[0] : order.location_src_id[0],
        origin: `${data.txnId} ${data.reason.code}`,
        message_ids: [
          noteCommand(
            "stock.scrap",
            tag,
            `Scrapped ${data.qty.value} ${data.qty.unitCode} of ${data.item}${lot}, ${reason} (${data.txnId})`,
          ),
        ],
      };
      [id] = await desk.client.create("stock.scrap", [values], desk.signal);
      if (id === undefined) throw new Unbookable("Odoo made no scrap order");
    }
    const answer = await desk.client.invoke("stock.scrap", "action_validate", [id], {}, { signal: desk.signal, nature: "write" });
    const after = await stateOf(desk, id);
    return after.kind === "done"
      ? after
      : { kind: "refused", reason: `Odoo has too little of ${data.item} where it was scrapped.${wizardOf(answer)}` };
  },
};

async function stateOf(desk: Desk, id: number): Promise<Found> {
  const [row] = await desk.client.search("stock.scrap", scrap, [["id", "=", id]], desk.signal);
  return row?.state === "done" ? done(row.name) : notDone;
}
