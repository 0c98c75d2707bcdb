import type { Database, Move, Production, Workorder } from "./database.ts";
import { type Context, ids } from "./picking.ts";
import { finishedMovesOf, type Manufacturing, picksOf, producedOf, rawMovesOf } from "./production.ts";
import { round } from "./quantity.ts";
import { splitOrder } from "./split.ts";
import { isOpen, type Stock } from "./stock.ts";
import { wizardOf } from "./wizard.ts";

/** How an order comes to its end, or to its backorder, with the order of steps of the real one. */
export class Closing {
  readonly #db: Database;
  readonly #stock: Stock;
  readonly #orders: Manufacturing;

  constructor(db: Database, stock: Stock, orders: Manufacturing) {
    this.#db = db;
    this.#stock = stock;
    this.#orders = orders;
  }

  /**
   * Scales the components to `qty_producing`, which the web client does by itself and an API caller has to ask for. While any pick of the
   * group is open it leaves out tracked components: the trap that makes goods from nothing.
   */
  setQtyProducing(order: Production): void {
    const db = this.#db;
    if (!isOpen(order.state)) return;
    const product = db.products.get(order.product_id);
    if (product.tracking === "serial" && order.qty_producing !== order.product_qty) {
      db.productions.update(order, { qty_producing: order.lot_producing_ids.length });
    }
    const waiting = this.#waitsForPick(order);
    for (const move of rawMovesOf(db, order)) {
      if (!isOpen(move.state) || (waiting && db.products.get(move.product_id).tracking !== "none")) continue;
      if (move.picked && move.manual_consumption) continue;
      this.#stock.setQuantity(move, round((order.qty_producing - producedOf(this.#db, this.#stock, order)) * move.unit_factor));
      if (this.#stock.quantityOf(move) !== 0) this.#stock.setPicked(move, true);
    }
    this.#orders.refresh(order);
  }

  /**
   * `button_mark_done`. Not to be repeated on a done order: that moves no stock but rewrites the genealogy from the moves of this very
   * call, which are none.
   * @returns true, null for a cancelled order, or the wizard that asks instead of doing it
   */
  markDone(order: Production, context: Context): true | null | Record<string, unknown> {
    const db = this.#db;
    if (order.state === "cancel") return null;
    this.#fillIn(order);
    const wizard = wizardOf(db, this.#stock, order, context);
    if (wizard) return wizard;

    for (const workorder of db.workorders.where("production_id", order.id)) this.#finishWorkorder(workorder);
    let backorder: Production | undefined;
    if (ids(context.mo_ids_to_backorder).includes(order.id)) backorder = splitOrder(db, this.#stock, order, order.qty_producing);
    this.#post(order);
    db.productions.update(order, { state: "done", date_finished: db.transaction.now, priority: "0", is_locked: true }, true);
    if (backorder) this.#orders.assign(backorder);
    if (context.skip_redirection || !backorder) return true;
    return {
      res_model: "mrp.production",
      type: "ir.actions.act_window",
      context: { mo_ids_to_backorder: null },
      views: [[false, "form"]],
      view_mode: "form",
      res_id: backorder.id,
    };
  }

  /** After `qty_producing` of a done order was written: the finished quantity is corrected, the components stay. */
  correctFinished(order: Production): void {
    for (const move of finishedMovesOf(this.#db, order)) {
      const line = this.#stock.linesOf(move)[0];
      if (move.state === "done" && line) this.#stock.updateLine(line, { quantity: order.qty_producing });
    }
  }

  #finishWorkorder(workorder: Workorder): void {
    if (!isOpen(workorder.state)) return;
    const now = this.#db.transaction.now;
    this.#db.workorders.update(workorder, {
      state: "done",
      duration: workorder.duration === 0 ? workorder.duration_expected : workorder.duration,
      date_start: workorder.date_start === false ? now : workorder.date_start,
      date_finished: now,
    });
  }

  #fillIn(order: Production): void {
    const db = this.#db;
    const product = db.products.get(order.product_id);
    // a lot is made up from the sequence, and stays even when a wizard follows
    if (product.tracking !== "none" && order.lot_producing_ids.length === 0) {
      db.productions.update(order, { lot_producing_ids: [this.#stock.lot(product.id, db.next("lot").padStart(7, "0"))] });
    }
    if (order.qty_producing === 0) {
      db.productions.update(order, { qty_producing: round(order.product_qty - producedOf(this.#db, this.#stock, order)) });
      this.setQtyProducing(order);
    }
    this.#orders.refresh(order);
  }

  #post(order: Production): void {
    const db = this.#db;
    const consumed: Move[] = [];
    for (const move of rawMovesOf(db, order)) {
      if (!isOpen(move.state)) continue;
      if (move.picked && this.#stock.quantityOf(move) > 0) {
        this.#stock.finish(move);
        consumed.push(move);
      } else {
        // not picked means not used: the component is cancelled without a word
        this.#stock.cancel(move);
      }
    }
    const finished = finishedMovesOf(db, order);
    for (const move of finished) {
      if (!isOpen(move.state)) continue;
      this.#stock.setQuantity(move, round(order.qty_producing - producedOf(this.#db, this.#stock, order)));
      for (const line of this.#stock.linesOf(move))
        this.#stock.updateLine(line, { lot_id: order.lot_producing_ids[0] ?? false, picked: true });
      db.moves.update(move, { picked: true });
      this.#stock.finish(move);
    }
    this.#writeGenealogy(finished, consumed);
  }

  #writeGenealogy(finished: readonly Move[], consumed: readonly Move[]): void {
    const db = this.#db;
    const into = consumed.flatMap((move) => this.#stock.linesOf(move));
    for (const line of finished.flatMap((move) => this.#stock.linesOf(move))) {
      for (const id of line.consume_line_ids) {
        const before = db.lines.find(id);
        if (before) db.lines.update(before, { produce_line_ids: before.produce_line_ids.filter((other) => other !== line.id) });
      }
      db.lines.update(line, { consume_line_ids: into.map((component) => component.id) });
      for (const component of into) db.lines.update(component, { produce_line_ids: [...component.produce_line_ids, line.id] });
    }
  }

  #waitsForPick(order: Production): boolean {
    const db = this.#db;
    const warehouse = db.warehouses.get(db.pickingTypes.get(order.picking_type_id).warehouse_id);
    return warehouse.manufacture_steps !== "mrp_one_step" && picksOf(db, order).some((pick) => isOpen(pick.state));
  }
}
