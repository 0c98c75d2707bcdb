import { type Row, Table, type Transaction } from "./table.ts";

type Ref = number | false;
type Text = string | false;
type At = number | false;

export interface Warehouse extends Row {
  name: string;
  code: string;
  manufacture_steps: "mrp_one_step" | "pbm";
  lot_stock_id: number;
  pbm_loc_id: number;
  pbm_type_id: number;
  manu_type_id: number;
}
export interface Location extends Row {
  name: string;
  complete_name: string;
  usage: "internal" | "production" | "inventory" | "view";
  warehouse_id: Ref;
}
export interface PickingType extends Row {
  name: string;
  code: "internal" | "mrp_operation";
  sequence_code: string;
  warehouse_id: number;
}
export interface Uom extends Row {
  name: string;
}
export interface Template extends Row {
  name: string;
  default_code: Text;
}
export interface Product extends Row {
  name: string;
  default_code: Text;
  barcode: Text;
  type: "consu" | "service";
  is_storable: boolean;
  tracking: "none" | "lot" | "serial";
  uom_id: number;
  active: boolean;
  product_tmpl_id: number;
}
export interface Lot extends Row {
  name: string;
  product_id: number;
  ref: Text;
  note: Text;
}
export interface Workcenter extends Row {
  name: string;
  code: Text;
}
export interface Bom extends Row {
  product_tmpl_id: number;
  product_qty: number;
  product_uom_id: number;
  code: Text;
  type: "normal" | "phantom";
  consumption: "flexible" | "warning" | "strict";
}
export interface BomLine extends Row {
  bom_id: number;
  product_id: number;
  product_qty: number;
  product_uom_id: number;
  operation_id: Ref;
  sequence: number;
}
export interface Operation extends Row {
  bom_id: number;
  name: string;
  workcenter_id: number;
  time_cycle_manual: number;
  sequence: number;
  active: boolean;
}
export interface ProductionGroup extends Row {
  name: string;
}
export type ProductionState = "draft" | "confirmed" | "progress" | "to_close" | "done" | "cancel";
export interface Production extends Row {
  name: string;
  state: ProductionState;
  product_id: number;
  product_qty: number;
  product_uom_id: number;
  qty_producing: number;
  bom_id: Ref;
  lot_producing_ids: readonly number[];
  consumption: Bom["consumption"];
  origin: Text;
  priority: "0" | "1";
  date_start: number;
  date_finished: At;
  date_deadline: At;
  backorder_sequence: number;
  production_group_id: number;
  picking_type_id: number;
  location_src_id: number;
  location_dest_id: number;
  is_locked: boolean;
}
export interface Workorder extends Row {
  production_id: number;
  name: string;
  operation_id: Ref;
  workcenter_id: number;
  state: "blocked" | "ready" | "progress" | "done" | "cancel";
  sequence: number;
  duration_expected: number;
  duration: number;
  qty_produced: number;
  date_start: At;
  date_finished: At;
}
export type PickingState = "draft" | "waiting" | "confirmed" | "assigned" | "done" | "cancel";
export interface Picking extends Row {
  name: string;
  state: PickingState;
  picking_type_id: number;
  location_id: number;
  location_dest_id: number;
  origin: Text;
  note: Text;
  partner_id: Ref;
  priority: "0" | "1";
  backorder_id: Ref;
  scheduled_date: number;
  date_done: At;
  production_group_id: Ref;
}
export type MoveState = "draft" | "waiting" | "confirmed" | "partially_available" | "assigned" | "done" | "cancel";
export interface Move extends Row {
  product_id: number;
  product_uom: number;
  product_uom_qty: number;
  picked: boolean;
  state: MoveState;
  location_id: number;
  location_dest_id: number;
  picking_id: Ref;
  raw_material_production_id: Ref;
  production_id: Ref;
  scrap_id: Ref;
  move_dest_ids: readonly number[];
  move_orig_ids: readonly number[];
  origin: Text;
  reference: Text;
  operation_id: Ref;
  workorder_id: Ref;
  bom_line_id: Ref;
  sequence: number;
  manual_consumption: boolean;
  unit_factor: number;
  date: number;
}
export interface MoveLine extends Row {
  move_id: Ref;
  picking_id: Ref;
  product_id: number;
  product_uom_id: number;
  lot_id: Ref;
  lot_name: Text;
  quantity: number;
  picked: boolean;
  location_id: number;
  location_dest_id: number;
  date: number;
  consume_line_ids: readonly number[];
  produce_line_ids: readonly number[];
}
export interface Quant extends Row {
  product_id: number;
  location_id: number;
  lot_id: Ref;
  quantity: number;
  reserved_quantity: number;
  in_date: number;
}
export interface Scrap extends Row {
  name: string;
  state: "draft" | "done";
  product_id: number;
  product_uom_id: number;
  scrap_qty: number;
  lot_id: Ref;
  location_id: number;
  scrap_location_id: number;
  production_id: Ref;
  workorder_id: Ref;
  picking_id: Ref;
  origin: Text;
  date_done: At;
  should_replenish: boolean;
}
export interface Message extends Row {
  model: string;
  res_id: number;
  body: string;
  message_type: string;
  /** The Message-Id header: unique in mail, not enforced here. */
  message_id: string;
  is_internal: boolean;
  date: number;
}

/** All tables of one simulated database, and its transaction: a call either leaves everything it did, or nothing. */
export class Database {
  readonly transaction: Transaction = { now: 0, undo: [] };
  readonly byModel = new Map<string, Table<Row>>();
  readonly warehouses = this.#table<Warehouse>("stock.warehouse", { code: (row) => row.code });
  readonly locations = this.#table<Location>("stock.location", { warehouse_id: (row) => row.warehouse_id });
  readonly pickingTypes = this.#table<PickingType>("stock.picking.type", { warehouse_id: (row) => row.warehouse_id });
  readonly uoms = this.#table<Uom>("uom.uom", { name: (row) => row.name });
  readonly templates = this.#table<Template>("product.template");
  readonly products = this.#table<Product>("product.product", {
    default_code: (row) => row.default_code,
    product_tmpl_id: (row) => row.product_tmpl_id,
  });
  readonly lots = this.#table<Lot>("stock.lot", {
    name: (row) => row.name,
    product_id: (row) => row.product_id,
    identity: (row) => `${row.product_id}/${row.name}`,
  });
  readonly workcenters = this.#table<Workcenter>("mrp.workcenter");
  readonly boms = this.#table<Bom>("mrp.bom", { product_tmpl_id: (row) => row.product_tmpl_id });
  readonly bomLines = this.#table<BomLine>("mrp.bom.line", { bom_id: (row) => row.bom_id });
  readonly operations = this.#table<Operation>("mrp.routing.workcenter", { bom_id: (row) => row.bom_id });
  readonly groups = this.#table<ProductionGroup>("mrp.production.group");
  readonly productions = this.#table<Production>("mrp.production", {
    state: (row) => row.state,
    production_group_id: (row) => row.production_group_id,
    origin: (row) => row.origin,
    name: (row) => row.name,
  });
  readonly workorders = this.#table<Workorder>("mrp.workorder", { production_id: (row) => row.production_id });
  readonly pickings = this.#table<Picking>("stock.picking", {
    state: (row) => row.state,
    production_group_id: (row) => row.production_group_id,
    backorder_id: (row) => row.backorder_id,
    origin: (row) => row.origin,
    note: (row) => row.note,
  });
  readonly moves = this.#table<Move>("stock.move", {
    picking_id: (row) => row.picking_id,
    raw_material_production_id: (row) => row.raw_material_production_id,
    production_id: (row) => row.production_id,
    scrap_id: (row) => row.scrap_id,
  });
  readonly lines = this.#table<MoveLine>("stock.move.line", {
    move_id: (row) => row.move_id,
    picking_id: (row) => row.picking_id,
    spot: (row) => spotOf(row.product_id, row.location_id, row.lot_id),
  });
  readonly quants = this.#table<Quant>("stock.quant", {
    product_id: (row) => row.product_id,
    lot_id: (row) => row.lot_id,
    spot: (row) => spotOf(row.product_id, row.location_id, row.lot_id),
    shelf: (row) => `${row.product_id}/${row.location_id}`,
  });
  readonly scraps = this.#table<Scrap>("stock.scrap", {
    production_id: (row) => row.production_id,
    origin: (row) => row.origin,
  });
  readonly messages = this.#table<Message>("mail.message", {
    res_id: (row) => row.res_id,
    message_id: (row) => row.message_id,
  });
  readonly #sequences = new Map<string, number>();

  #table<R extends Row>(model: string, indexes: Record<string, (row: R) => string | number | boolean> = {}): Table<R> {
    const table = new Table<R>(model, this.transaction, indexes);
    this.byModel.set(model, table as unknown as Table<Row>);
    return table;
  }

  /** The next number of a sequence; like Odoo's, it is not given back by a failed transaction. */
  next(sequence: string): string {
    const number = (this.#sequences.get(sequence) ?? 0) + 1;
    this.#sequences.set(sequence, number);
    return String(number).padStart(5, "0");
  }
}

/** One place of one lot of one product. */
export function spotOf(product: number, location: number, lot: number | false): string {
  return `${product}/${location}/${lot}`;
}
