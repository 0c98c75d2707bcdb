import type { Database, Move, Picking, Production } from "./database.ts";
import { ErpFault, missingError, userError, validationError } from "./fault.ts";
import { cancelPicking, nextPickingName, refreshPicking } from "./picking.ts";
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

/** What finished moves have put into stock. */
export function producedOf(db: Database, stock: Stock, order: Production): number {
  const done = finishedMovesOf(db, order).filter((move) => move.state === "done" && move.product_id === order.product_id);
  return sum(done.map((move) => stock.quantityOf(move)));
}

/** Manufacturing orders from the draft over the pick to what follows from their parts; closing one is `Closing`. */
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
      workorder_id: false,
      bom_line_id: false,
      sequence: 10,
      manual_consumption: false,
      unit_factor: 1,
      date: order.date_start,
      ...values,
    });
  }
}

/** The bill of materials of a product, or of its template. */
export function bomOf(db: Database, product: number): number | false {
  const found = db.products.find(product);
  if (!found) throw missingError("product.product", product);
  return db.boms.where("product_tmpl_id", found.product_tmpl_id)[0]?.id ?? false;
}
