import { type Database, type Scrap, spotOf } from "./database.ts";
import { round } from "./quantity.ts";
import type { Stock } from "./stock.ts";

/**
 * `action_validate`: books the scrap each time it is called, as the real one does; the caller has to read `state` first. With too
 * little stock, or a tracked product without a lot, it answers with a wizard and stays a draft.
 */
export function validateScrap(db: Database, stock: Stock, scrap: Scrap): true | Record<string, unknown> {
  const product = db.products.get(scrap.product_id);
  const quant = db.quants.where("spot", spotOf(scrap.product_id, scrap.location_id, scrap.lot_id))[0];
  if ((product.tracking !== "none" && scrap.lot_id === false) || round(quant?.quantity ?? 0) < scrap.scrap_qty) {
    return {
      name: `${product.name}: Insufficient Quantity To Scrap`,
      view_mode: "form",
      res_model: "stock.warn.insufficient.qty.scrap",
      view_id: 946,
      type: "ir.actions.act_window",
      context: {
        default_product_id: scrap.product_id,
        default_location_id: scrap.location_id,
        default_scrap_id: scrap.id,
        default_quantity: scrap.scrap_qty,
        default_product_uom_name: db.uoms.get(scrap.product_uom_id).name,
      },
      target: "new",
    };
  }
  const name = `SP/${db.next("SP/")}`;
  const production = scrap.production_id === false ? undefined : db.productions.find(scrap.production_id);
  const isProduct = production?.product_id === scrap.product_id;
  const move = db.moves.insert({
    product_id: scrap.product_id,
    product_uom: scrap.product_uom_id,
    product_uom_qty: scrap.scrap_qty,
    picked: true,
    state: "confirmed",
    location_id: scrap.location_id,
    location_dest_id: scrap.scrap_location_id,
    picking_id: false,
    // scrap of an order is booked on the order as well: a search for its raw moves finds it, the field move_raw_ids does not
    raw_material_production_id: production && !isProduct ? production.id : false,
    production_id: production && isProduct ? production.id : false,
    scrap_id: scrap.id,
    move_dest_ids: [],
    move_orig_ids: [],
    origin: scrap.origin === false ? name : scrap.origin,
    reference: production?.name ?? name,
    operation_id: false,
    workorder_id: false,
    bom_line_id: false,
    sequence: 10,
    manual_consumption: false,
    unit_factor: 1,
    date: db.transaction.now,
  });
  db.scraps.update(scrap, { name, state: "done", date_done: db.transaction.now }, true);
  stock.createLine(move, { product_id: scrap.product_id, lot_id: scrap.lot_id, quantity: scrap.scrap_qty, picked: true });
  stock.finish(move);
  return true;
}
