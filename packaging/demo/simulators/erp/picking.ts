import type { Database, Move, Picking, PickingState } from "./database.ts";
import { userError } from "./fault.ts";
import { round, sum } from "./quantity.ts";
import { isOpen, type Stock } from "./stock.ts";

/** The context of a call: switches that the real ERP's buttons look for. */
export type Context = Readonly<Record<string, unknown>>;

export function movesOf(db: Database, picking: Picking): Move[] {
  return db.moves.where("picking_id", picking.id);
}

/** What a pick's state says: `assigned` is already one that is partly reserved. */
export function refreshPicking(db: Database, picking: Picking): void {
  const moves = movesOf(db, picking);
  if (moves.length === 0 || !isOpen(picking.state)) return;
  const states = new Set(moves.map((move) => move.state));
  let state: PickingState = "confirmed";
  if (moves.every((move) => move.state === "cancel")) state = "cancel";
  else if (moves.every((move) => !isOpen(move.state))) state = "done";
  else if (states.has("assigned") || states.has("partially_available")) state = "assigned";
  else if (states.has("draft")) state = "draft";
  else if (states.has("waiting")) state = "waiting";
  db.pickings.update(picking, { state });
}

/**
 * `button_validate`. Safe to repeat on a done picking. What is not picked goes to a backorder picking with a new id, while the
 * original keeps its name. Without `skip_backorder` a partial one is not validated: the answer is a wizard.
 */
export function validatePicking(db: Database, stock: Stock, picking: Picking, context: Context): true | Record<string, unknown> {
  if (picking.state === "done") return true;
  if (picking.state === "cancel") throw userError("You cannot validate a cancelled transfer.");
  const moves = movesOf(db, picking).filter((move) => isOpen(move.state));
  for (const move of moves) if (move.state === "draft") db.moves.update(move, { state: "confirmed" });
  const lines = moves.flatMap((move) => stock.linesOf(move));
  if (lines.length === 0 || lines.every((line) => line.quantity === 0)) {
    throw userError("You cannot validate a transfer if no quantities are reserved. Please add quantities or cancel it.");
  }
  // nothing marked as picked means all of it was
  if (!lines.some((line) => line.picked)) for (const move of moves) stock.setPicked(move, stock.quantityOf(move) > 0);

  const partial = moves.some((move) => pickedOf(stock, move) < move.product_uom_qty);
  if (partial && !context.skip_backorder) return backorderWizard(picking);
  const withoutBackorder = ids(context.picking_ids_not_to_backorder).includes(picking.id);

  const rest: Move[] = [];
  for (const move of moves) {
    const done = pickedOf(stock, move);
    if (!move.picked || done <= 0) {
      if (withoutBackorder) stock.cancel(move);
      else rest.push(move);
      continue;
    }
    const left = round(move.product_uom_qty - done);
    if (left > 0 && !withoutBackorder) {
      // the unpicked lines go first, so that the rest can reserve what they held
      for (const line of stock.linesOf(move)) if (!line.picked) stock.removeLine(line);
      db.moves.update(move, { product_uom_qty: done });
      rest.push(splitMove(db, move, left));
    }
  }
  for (const move of moves) if (move.picked && isOpen(move.state) && !rest.includes(move)) stock.finish(move);
  db.pickings.update(picking, { state: "done", date_done: db.transaction.now }, true);
  if (rest.length > 0) makeBackorder(db, stock, picking, rest);
  return true;
}

/** A draft picking's moves are confirmed and reserved. Repeated it changes nothing. */
export function confirmPicking(db: Database, stock: Stock, picking: Picking): void {
  for (const move of movesOf(db, picking)) {
    if (move.state !== "draft") continue;
    db.moves.update(move, { state: "confirmed" });
    stock.assign(move);
  }
  refreshPicking(db, picking);
}

/** Cancels what is open of a picking. */
export function cancelPicking(db: Database, stock: Stock, picking: Picking): void {
  for (const move of movesOf(db, picking)) if (isOpen(move.state)) stock.cancel(move);
  refreshPicking(db, picking);
}

function pickedOf(stock: Stock, move: Move): number {
  return sum(
    stock
      .linesOf(move)
      .filter((line) => line.picked)
      .map((line) => line.quantity),
  );
}

function splitMove(db: Database, move: Move, quantity: number): Move {
  const { id: _id, create_date: _created, write_date: _written, ...values } = move;
  const dests = move.move_dest_ids.filter((id) => isOpen(db.moves.find(id)?.state ?? "cancel"));
  const rest = db.moves.insert({ ...values, product_uom_qty: quantity, picked: false, state: "confirmed", move_dest_ids: dests });
  for (const id of dests) {
    const dest = db.moves.get(id);
    db.moves.update(dest, { move_orig_ids: [...dest.move_orig_ids, rest.id] });
  }
  return rest;
}

function makeBackorder(db: Database, stock: Stock, picking: Picking, rest: readonly Move[]): void {
  const { id: _id, create_date: _created, write_date: _written, ...values } = picking;
  const backorder = db.pickings.insert({
    ...values,
    name: nextPickingName(db, picking.picking_type_id),
    state: "confirmed",
    backorder_id: picking.id,
    date_done: false,
  });
  for (const move of rest) {
    db.moves.update(move, { picking_id: backorder.id, reference: backorder.name });
    for (const line of stock.linesOf(move)) db.lines.update(line, { picking_id: backorder.id });
    stock.assign(move);
  }
  refreshPicking(db, backorder);
}

export function nextPickingName(db: Database, pickingType: number): string {
  const type = db.pickingTypes.get(pickingType);
  const prefix = `${db.warehouses.get(type.warehouse_id).code}/${type.sequence_code}/`;
  return `${prefix}${db.next(prefix)}`;
}

function backorderWizard(picking: Picking): Record<string, unknown> {
  return {
    name: "Create Backorder?",
    type: "ir.actions.act_window",
    view_mode: "form",
    res_model: "stock.backorder.confirmation",
    views: [[938, "form"]],
    view_id: 938,
    target: "new",
    context: { button_validate_picking_ids: [picking.id], default_show_transfers: false, default_pick_ids: [[4, picking.id]] },
  };
}

/** The ids in a context value. */
export function ids(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((id): id is number => typeof id === "number") : [];
}
