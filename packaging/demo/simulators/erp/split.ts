import type { Database, Production } from "./database.ts";
import { validationError } from "./fault.ts";
import { finishedMovesOf, rawMovesOf } from "./production.ts";
import { round } from "./quantity.ts";
import type { Stock } from "./stock.ts";

/**
 * Splits all but `kept` off into a new order. The original is renamed, what stays is its id; both share the group and its picks.
 * @throws ErpFault 422 when nothing would be left
 */
export function splitOrder(db: Database, stock: Stock, order: Production, kept: number): Production {
  const left = round(order.product_qty - kept);
  if (left <= 0) throw validationError("The operation cannot be completed: The quantity to produce must be positive!");
  const base = order.backorder_sequence === 0 ? order.name : order.name.replace(/-\d+$/, "");
  const sequence = order.backorder_sequence === 0 ? 1 : order.backorder_sequence;
  const initial = order.product_qty;
  db.productions.update(order, {
    name: numbered(base, sequence),
    backorder_sequence: sequence,
    product_qty: order.qty_producing,
  });
  const next =
    Math.max(...db.productions.where("production_group_id", order.production_group_id).map((other) => other.backorder_sequence)) +
    1;
  const { id: _id, create_date: _created, write_date: _written, ...values } = order;
  const backorder = db.productions.insert({
    ...values,
    name: numbered(base, next),
    backorder_sequence: next,
    state: "confirmed",
    product_qty: left,
    qty_producing: 0,
    lot_producing_ids: [],
    date_start: db.transaction.now,
    date_finished: db.transaction.now,
  });
  for (const move of [...rawMovesOf(db, order), ...finishedMovesOf(db, order)]) {
    if (move.picked) for (const line of stock.linesOf(move)) if (!line.picked) stock.removeLine(line);
    const unitFactor = move.product_uom_qty / initial;
    const { id: _moveId, create_date: _moveCreated, write_date: _moveWritten, ...moveValues } = move;
    const rest = db.moves.insert({
      ...moveValues,
      product_uom_qty: round(left * unitFactor),
      picked: false,
      manual_consumption: false,
      state: "confirmed",
      reference: backorder.name,
      origin: backorder.name,
      raw_material_production_id: move.raw_material_production_id === false ? false : backorder.id,
      production_id: move.production_id === false ? false : backorder.id,
    });
    for (const id of move.move_orig_ids) {
      const before = db.moves.get(id);
      db.moves.update(before, { move_dest_ids: [...before.move_dest_ids, rest.id] });
    }
    const demand = round(order.product_qty * unitFactor);
    db.moves.update(move, { product_uom_qty: demand, reference: order.name, origin: order.name });
    // what the original had reserved beyond its share goes to the backorder
    if (!move.picked && stock.quantityOf(move) > demand) stock.setQuantity(move, demand);
    if (move.production_id !== false) stock.assign(rest);
  }
  for (const workorder of db.workorders.where("production_id", order.id)) {
    const { id: _workorderId, create_date: _workorderCreated, write_date: _workorderWritten, ...workorderValues } = workorder;
    const share = round((workorder.duration_expected * left) / initial);
    const expected = round(workorder.duration_expected - share);
    const fresh = { state: "ready", duration: 0, qty_produced: 0, date_start: false, date_finished: false } as const;
    db.workorders.insert({ ...workorderValues, ...fresh, production_id: backorder.id, duration_expected: share });
    db.workorders.update(workorder, { duration_expected: expected, duration: expected, qty_produced: order.qty_producing });
  }
  return backorder;
}

function numbered(base: string, sequence: number): string {
  return `${base}-${String(sequence).padStart(3, "0")}`;
}
