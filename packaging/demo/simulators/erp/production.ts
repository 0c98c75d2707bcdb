import type { Database, Move, Picking, Production, Workorder } from "./database.ts";
import { ErpFault, missingError, userError, validationError } from "./fault.ts";
import { type Context, cancelPicking, ids, nextPickingName, refreshPicking } from "./picking.ts";
import { round, sum } from "./quantity.ts";
import { isOpen, type Stock } from "./stock.ts";

export interface NewProduction {
  readonly product: number;
  readonly quantity: number;
  readonly bom: number | false;
  readonly pickingType: number;
  readonly origin: string | false;
  readonly priority: "0" | "1";
  readonly dateStart: number;
  readonly deadline: number | false;
}

/** The component moves of an order; scrap that was booked on the order is not among them. */
export function rawMovesOf(db: Database, order: Production): Move[] {
  return db.moves.where("raw_material_production_id", order.id).filter((move) => move.scrap_id === false);
}

export function finishedMovesOf(db: Database, order: Production): Move[] {
  return db.moves.where("production_id", order.id).filter((move) => move.scrap_id === false);
}

/** All picks of the order's group: backorders of an order share them. */
export function picksOf(db: Database, order: Production): Picking[] {
  return db.pickings.where("production_group_id", order.production_group_id);
}

/** Manufacturing orders: from the draft over the pick to the backorder, with the order of steps of the real one. */
export class Manufacturing {
  readonly #db: Database;
  readonly #stock: Stock;

  constructor(db: Database, stock: Stock) {
    this.#db = db;
    this.#stock = stock;
  }

  /** A draft with its component moves, finished move and work orders. */
  create(values: NewProduction): Production {
    const db = this.#db;
    if (values.quantity <= 0)
      throw validationError("The operation cannot be completed: The quantity to produce must be positive!");
    const product = db.products.get(values.product);
    const warehouse = db.warehouses.get(db.pickingTypes.get(values.pickingType).warehouse_id);
    const prefix = `${warehouse.code}/MO/`;
    const name = `${prefix}${db.next(prefix)}`;
    const order = db.productions.insert({
      name,
      state: "draft",
      product_id: product.id,
      product_qty: round(values.quantity),
      product_uom_id: product.uom_id,
      qty_producing: 0,
      bom_id: values.bom,
      lot_producing_ids: [],
      consumption: "flexible",
      origin: values.origin,
      priority: values.priority,
      date_start: values.dateStart,
      date_finished: values.dateStart,
      date_deadline: values.deadline,
      backorder_sequence: 0,
      production_group_id: db.groups.insert({ name }).id,
      picking_type_id: values.pickingType,
      location_src_id: warehouse.manufacture_steps === "pbm" ? warehouse.pbm_loc_id : warehouse.lot_stock_id,
      location_dest_id: warehouse.lot_stock_id,
      is_locked: true,
    });
    const bom = values.bom === false ? undefined : db.boms.get(values.bom);
    for (const line of bom ? db.bomLines.where("bom_id", bom.id) : []) {
      const unitFactor = line.product_qty / (bom?.product_qty ?? 1);
      this.#insertMove(order, {
        product_id: line.product_id,
        product_uom: line.product_uom_id,
        product_uom_qty: round(unitFactor * order.product_qty),
        location_id: order.location_src_id,
        location_dest_id: this.#productionLocation(),
        raw_material_production_id: order.id,
        operation_id: line.operation_id,
        bom_line_id: line.id,
        sequence: line.sequence,
        unit_factor: unitFactor,
      });
    }
    this.#insertMove(order, {
      product_id: order.product_id,
      product_uom: order.product_uom_id,
      product_uom_qty: order.product_qty,
      location_id: this.#productionLocation(),
      location_dest_id: order.location_dest_id,
      production_id: order.id,
    });
    for (const operation of bom ? db.operations.where("bom_id", bom.id).sort((a, b) => a.sequence - b.sequence) : []) {
      db.workorders.insert({
        production_id: order.id,
        name: operation.name,
        operation_id: operation.id,
        workcenter_id: operation.workcenter_id,
        state: "ready",
        sequence: operation.sequence,
        duration_expected: round((operation.time_cycle_manual * order.product_qty) / (bom?.product_qty ?? 1)),
        duration: 0,
        qty_produced: 0,
        date_start: false,
        date_finished: false,
      });
    }
    const minutes = sum(db.workorders.where("production_id", order.id).map((workorder) => workorder.duration_expected));
    db.productions.update(order, { date_finished: order.date_start + minutes * 60_000 });
    return order;
  }

  /** Makes the pick and reserves it. Repeated it changes nothing; a cancelled order stays cancelled. */
  confirm(order: Production): void {
    const db = this.#db;
    if (order.state !== "draft") return;
    const bom = order.bom_id === false ? undefined : db.boms.get(order.bom_id);
    db.productions.update(order, { state: "confirmed", consumption: bom?.consumption ?? "flexible" }, true);
    const raw = rawMovesOf(db, order);
    const warehouse = db.warehouses.get(db.pickingTypes.get(order.picking_type_id).warehouse_id);
    for (const move of finishedMovesOf(db, order)) {
      db.moves.update(move, { state: "confirmed" });
      this.#stock.assign(move);
    }
    for (const move of raw) db.moves.update(move, { state: "confirmed" });
    if (warehouse.manufacture_steps !== "pbm" || raw.length === 0) {
      for (const move of raw) this.#stock.assign(move);
      return;
    }
    const pick = db.pickings.insert({
      name: nextPickingName(db, warehouse.pbm_type_id),
      state: "confirmed",
      picking_type_id: warehouse.pbm_type_id,
      location_id: warehouse.lot_stock_id,
      location_dest_id: warehouse.pbm_loc_id,
      origin: order.name,
      note: false,
      partner_id: false,
      priority: order.priority,
      backorder_id: false,
      scheduled_date: order.date_start,
      date_done: false,
      production_group_id: order.production_group_id,
    });
    for (const move of raw) {
      const picked = this.#insertMove(order, {
        product_id: move.product_id,
        product_uom: move.product_uom,
        product_uom_qty: move.product_uom_qty,
        location_id: pick.location_id,
        location_dest_id: pick.location_dest_id,
        picking_id: pick.id,
        move_dest_ids: [move.id],
        reference: pick.name,
        state: "confirmed",
      });
      db.moves.update(move, { move_orig_ids: [picked.id], state: "waiting" });
      this.#stock.assign(picked);
    }
    refreshPicking(db, pick);
  }

  assign(order: Production): void {
    for (const move of rawMovesOf(this.#db, order)) this.#stock.assign(move);
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
      this.#stock.setQuantity(move, round((order.qty_producing - this.producedOf(order)) * move.unit_factor));
      if (this.#stock.quantityOf(move) !== 0) this.#stock.setPicked(move, true);
    }
    this.refresh(order);
  }

  /** What finished moves have put into stock. */
  producedOf(order: Production): number {
    const done = finishedMovesOf(this.#db, order).filter((move) => move.state === "done" && move.product_id === order.product_id);
    return sum(done.map((move) => this.#stock.quantityOf(move)));
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
    const wizard = this.#wizard(order, context);
    if (wizard) return wizard;

    for (const workorder of db.workorders.where("production_id", order.id)) this.finishWorkorder(workorder);
    let backorder: Production | undefined;
    if (ids(context.mo_ids_to_backorder).includes(order.id)) backorder = this.#split(order);
    this.#post(order);
    db.productions.update(order, { state: "done", date_finished: db.transaction.now, priority: "0", is_locked: true }, true);
    if (backorder) this.assign(backorder);
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

  /** Cancels an order and its open picks; what was picked already stays where it is. */
  cancel(order: Production): void {
    const db = this.#db;
    if (order.state === "done") throw userError("You cannot cancel a manufacturing order that is already done.");
    if (order.state === "cancel") return;
    for (const move of [...rawMovesOf(db, order), ...finishedMovesOf(db, order)])
      if (isOpen(move.state)) this.#stock.cancel(move);
    for (const workorder of db.workorders.where("production_id", order.id)) {
      if (isOpen(workorder.state)) db.workorders.update(workorder, { state: "cancel" });
    }
    db.productions.update(order, { state: "cancel" }, true);
    const others = db.productions.where("production_group_id", order.production_group_id).some((other) => isOpen(other.state));
    if (!others) for (const pick of picksOf(db, order)) if (isOpen(pick.state)) cancelPicking(db, this.#stock, pick);
  }

  /** Changes the quantity as the user's wizard does: components, open picks and work orders follow. */
  changeQuantity(order: Production, quantity: number): void {
    const db = this.#db;
    if (!isOpen(order.state)) throw userError("You cannot change the quantity of a closed order.");
    const factor = quantity / order.product_qty;
    db.productions.update(order, { product_qty: round(quantity) }, true);
    for (const move of [...rawMovesOf(db, order), ...finishedMovesOf(db, order)]) {
      if (!isOpen(move.state)) continue;
      const before = move.product_uom_qty;
      db.moves.update(move, { product_uom_qty: round(before * factor) });
      for (const id of move.move_orig_ids) {
        const pick = db.moves.find(id);
        if (!pick || !isOpen(pick.state)) continue;
        db.moves.update(pick, { product_uom_qty: round(pick.product_uom_qty + move.product_uom_qty - before) });
        this.#stock.assign(pick);
      }
      this.#stock.assign(move);
    }
    for (const workorder of db.workorders.where("production_id", order.id)) {
      db.workorders.update(workorder, { duration_expected: round(workorder.duration_expected * factor) });
    }
  }

  finishWorkorder(workorder: Workorder): void {
    if (!isOpen(workorder.state)) return;
    const now = this.#db.transaction.now;
    this.#db.workorders.update(workorder, {
      state: "done",
      duration: workorder.duration === 0 ? workorder.duration_expected : workorder.duration,
      date_start: workorder.date_start === false ? now : workorder.date_start,
      date_finished: now,
    });
  }

  /** The state of an open order follows from its work orders, its quantity and its components. */
  refresh(order: Production): void {
    const db = this.#db;
    if (order.state === "draft" || !isOpen(order.state)) return;
    const workorders = db.workorders.where("production_id", order.id);
    const closed =
      workorders.length > 0
        ? workorders.every((workorder) => !isOpen(workorder.state))
        : order.qty_producing >= order.product_qty;
    const begun =
      workorders.some((workorder) => workorder.state === "progress" || workorder.state === "done") ||
      order.qty_producing !== 0 ||
      rawMovesOf(db, order).some((move) => move.picked);
    if (closed) db.productions.update(order, { state: "to_close" });
    else if (begun) db.productions.update(order, { state: "progress" });
  }

  /** After `qty_producing` of a done order was written: the finished quantity is corrected, the components stay. */
  correctFinished(order: Production): void {
    for (const move of finishedMovesOf(this.#db, order)) {
      const line = this.#stock.linesOf(move)[0];
      if (move.state === "done" && line) this.#stock.updateLine(line, { quantity: order.qty_producing });
    }
  }

  #fillIn(order: Production): void {
    const db = this.#db;
    const product = db.products.get(order.product_id);
    // a lot is made up from the sequence, and stays even when a wizard follows
    if (product.tracking !== "none" && order.lot_producing_ids.length === 0) {
      db.productions.update(order, { lot_producing_ids: [this.#stock.lot(product.id, db.next("lot").padStart(7, "0"))] });
    }
    if (order.qty_producing === 0) {
      db.productions.update(order, { qty_producing: round(order.product_qty - this.producedOf(order)) });
      this.setQtyProducing(order);
    }
    this.refresh(order);
  }

  #wizard(order: Production, context: Context): Record<string, unknown> | undefined {
    const db = this.#db;
    const common = { type: "ir.actions.act_window", target: "new", view_mode: "form", views: [[false, "form"]], res_id: 0 };
    if (!context.skip_consumption && order.consumption !== "flexible" && order.bom_id !== false) {
      const differing = rawMovesOf(db, order)
        .map((move) => ({
          move,
          expected: round(order.qty_producing * move.unit_factor),
          consumed: sum(this.#stock.linesOf(move).flatMap((line) => (line.picked ? [line.quantity] : []))),
        }))
        .filter(({ expected, consumed }) => expected !== consumed);
      if (differing.length > 0) {
        const lines = differing.map(({ move, expected, consumed }) => [
          0,
          0,
          {
            mrp_production_id: order.id,
            product_id: move.product_id,
            consumption: order.consumption,
            product_uom_id: move.product_uom,
            product_consumed_qty_uom: consumed,
            product_expected_qty_uom: expected,
          },
        ]);
        return {
          ...common,
          name: "Consumption Warning",
          res_model: "mrp.consumption.warning",
          context: {
            ...context,
            default_mrp_production_ids: [order.id],
            default_mrp_consumption_warning_line_ids: lines,
            form_view_ref: false,
          },
        };
      }
    }
    if (!context.skip_backorder && round(order.product_qty - order.qty_producing) > 0) {
      return {
        ...common,
        name: "You produced less than the initial demand",
        res_model: "mrp.production.backorder",
        context: {
          ...context,
          always_backorder_mo_ids: [],
          default_mrp_production_ids: [order.id],
          default_mrp_production_backorder_line_ids: [[0, 0, { mrp_production_id: order.id, to_backorder: true }]],
        },
      };
    }
    return undefined;
  }

  /** Splits what is not produced off into a new order. The original is renamed: ids are what stays. */
  #split(order: Production): Production {
    const db = this.#db;
    const left = round(order.product_qty - order.qty_producing);
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
      Math.max(
        ...db.productions.where("production_group_id", order.production_group_id).map((other) => other.backorder_sequence),
      ) + 1;
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
      if (move.picked) for (const line of this.#stock.linesOf(move)) if (!line.picked) this.#stock.removeLine(line);
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
      if (!move.picked && this.#stock.quantityOf(move) > demand) this.#stock.setQuantity(move, demand);
      if (move.production_id !== false) this.#stock.assign(rest);
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
      this.#stock.setQuantity(move, round(order.qty_producing - this.producedOf(order)));
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

  #productionLocation(): number {
    for (const location of this.#db.locations.all()) if (location.usage === "production") return location.id;
    throw new ErpFault(500, "builtins.ValueError", "Expected singleton: stock.location()");
  }

  #insertMove(order: Production, values: Partial<Move> & Pick<Move, "product_id" | "product_uom" | "product_uom_qty">): Move {
    return this.#db.moves.insert({
      picked: false,
      state: "draft",
      location_id: 0,
      location_dest_id: 0,
      picking_id: false,
      raw_material_production_id: false,
      production_id: false,
      scrap_id: false,
      move_dest_ids: [],
      move_orig_ids: [],
      origin: order.name,
      reference: order.name,
      operation_id: false,
      bom_line_id: false,
      sequence: 10,
      manual_consumption: false,
      unit_factor: 1,
      date: order.date_start,
      ...values,
    });
  }
}

function numbered(base: string, sequence: number): string {
  return `${base}-${String(sequence).padStart(3, "0")}`;
}

/** The bill of materials of a product, or of its template. */
export function bomOf(db: Database, product: number): number | false {
  const found = db.products.find(product);
  if (!found) throw missingError("product.product", product);
  return db.boms.where("product_tmpl_id", found.product_tmpl_id)[0]?.id ?? false;
}
