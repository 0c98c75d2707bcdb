import type {
  Database,
  Location,
  Move,
  MoveLine,
  Picking,
  PickingType,
  Product,
  Production,
  Quant,
  Scrap,
  Workorder,
} from "./database.ts";
import { notFound, valueError } from "./fault.ts";
import { finishedMovesOf, picksOf, rawMovesOf } from "./production.ts";
import { round, sum } from "./quantity.ts";
import type { Row, Value } from "./table.ts";

export type Field = { readonly compute?: (db: Database, row: Row) => Value } & (
  | { readonly kind: "char" | "boolean" | "integer" | "float" | "datetime" }
  | { readonly kind: "selection"; readonly options: readonly string[] }
  | { readonly kind: "many2one" | "many2many"; readonly relation: string }
  | { readonly kind: "one2many"; readonly relation: string; readonly inverse: string }
);
export interface Model {
  readonly order: string;
  readonly fields: Readonly<Record<string, Field>>;
  /** `display_name` of a row; its `name` where none is given. */
  readonly title?: (db: Database, row: Row) => string;
}

const char = { kind: "char" } as const;
const boolean = { kind: "boolean" } as const;
const integer = { kind: "integer" } as const;
const float = { kind: "float" } as const;
const datetime = { kind: "datetime" } as const;
const selection = (...options: string[]) => ({ kind: "selection", options }) as const;
const many2one = (relation: string) => ({ kind: "many2one", relation }) as const;
const many2many = (relation: string) => ({ kind: "many2many", relation }) as const;
const one2many = (relation: string, inverse: string) => ({ kind: "one2many", relation, inverse }) as const;
/** A field that follows from others. Rows of a model are of one type, so each model names its own. */
const from = <R extends Row>(field: Field, compute: (db: Database, row: R) => Value): Field => ({
  ...field,
  compute: compute as (db: Database, row: Row) => Value,
});
const messages = one2many("mail.message", "res_id");

const moveStates = selection("draft", "waiting", "confirmed", "partially_available", "assigned", "done", "cancel");
const linesOf = (db: Database, move: Move): MoveLine[] => db.lines.where("move_id", move.id);
const idsOf = (rows: readonly Row[]): number[] => rows.map((row) => row.id);
const moveOf = (db: Database, line: MoveLine): Move | undefined =>
  line.move_id === false ? undefined : db.moves.find(line.move_id);
const warehouseOf = (db: Database, type: number): number => db.pickingTypes.get(type).warehouse_id;
const productTitle = (db: Database, id: number): string => {
  const product = db.products.get(id);
  return product.default_code === false ? product.name : `[${product.default_code}] ${product.name}`;
};
const movesTitle = (db: Database, move: Move): string => {
  const product = db.products.get(move.product_id);
  const name = (id: number): string => db.locations.find(id)?.name ?? "";
  return `${product.default_code === false ? product.name : product.default_code}: ${name(move.location_id)}>${name(move.location_dest_id)}`;
};

function groupOf(db: Database, move: Move): Value {
  const order = move.raw_material_production_id || move.production_id;
  if (order) return db.productions.get(order).production_group_id;
  return move.picking_id === false ? false : db.pickings.get(move.picking_id).production_group_id;
}

function reservationOf(db: Database, order: Production): Value {
  if (order.state === "draft" || order.state === "done" || order.state === "cancel") return false;
  const states = rawMovesOf(db, order)
    .filter((move) => !move.picked && move.product_uom_qty !== 0)
    .map((move) => move.state);
  if (states.every((state) => state === "assigned")) return "assigned";
  return states.some((state) => state !== "waiting") ? "confirmed" : "waiting";
}

/** The models and fields that the simulator has: what an integration of orders, picks, consumption and scrap reads and writes. */
const models: Readonly<Record<string, Model>> = {
  "stock.warehouse": {
    order: "id",
    fields: {
      name: char,
      code: char,
      manufacture_steps: selection("mrp_one_step", "pbm"),
      lot_stock_id: many2one("stock.location"),
      pbm_loc_id: many2one("stock.location"),
      pbm_type_id: many2one("stock.picking.type"),
      manu_type_id: many2one("stock.picking.type"),
    },
  },
  "stock.location": {
    order: "complete_name,id",
    title: (_db, row) => (row as Location).complete_name,
    fields: {
      name: char,
      complete_name: char,
      usage: selection("internal", "production", "inventory", "view"),
      warehouse_id: many2one("stock.warehouse"),
    },
  },
  "stock.picking.type": {
    order: "id",
    title: (db, row) => `${db.warehouses.get((row as PickingType).warehouse_id).name}: ${(row as PickingType).name}`,
    fields: {
      name: char,
      code: selection("internal", "mrp_operation"),
      sequence_code: char,
      warehouse_id: many2one("stock.warehouse"),
    },
  },
  "uom.uom": { order: "id", fields: { name: char } },
  "product.template": { order: "name,id", fields: { name: char, default_code: char } },
  "product.product": {
    order: "default_code,name,id",
    title: (db, row) => productTitle(db, row.id),
    fields: {
      name: char,
      default_code: char,
      barcode: char,
      type: selection("consu", "service"),
      is_storable: boolean,
      tracking: selection("none", "lot", "serial"),
      uom_id: many2one("uom.uom"),
      active: boolean,
      product_tmpl_id: many2one("product.template"),
      qty_available: from<Product>(float, (db, row) => sum(db.quants.where("product_id", row.id).map((quant) => quant.quantity))),
    },
  },
  "stock.lot": {
    order: "name,id",
    fields: {
      name: char,
      product_id: many2one("product.product"),
      ref: char,
      note: char,
      quant_ids: one2many("stock.quant", "lot_id"),
    },
  },
  "mrp.workcenter": { order: "id", fields: { name: char, code: char } },
  "mrp.bom": {
    order: "id",
    title: (db, row) => db.templates.get((row as unknown as { product_tmpl_id: number }).product_tmpl_id).name,
    fields: {
      product_tmpl_id: many2one("product.template"),
      product_qty: float,
      product_uom_id: many2one("uom.uom"),
      code: char,
      type: selection("normal", "phantom"),
      consumption: selection("flexible", "warning", "strict"),
      bom_line_ids: one2many("mrp.bom.line", "bom_id"),
      operation_ids: one2many("mrp.routing.workcenter", "bom_id"),
    },
  },
  "mrp.bom.line": {
    order: "sequence,id",
    fields: {
      bom_id: many2one("mrp.bom"),
      product_id: many2one("product.product"),
      product_qty: float,
      product_uom_id: many2one("uom.uom"),
      operation_id: many2one("mrp.routing.workcenter"),
      sequence: integer,
    },
  },
  "mrp.routing.workcenter": {
    order: "bom_id,sequence,id",
    fields: {
      bom_id: many2one("mrp.bom"),
      name: char,
      workcenter_id: many2one("mrp.workcenter"),
      time_cycle_manual: float,
      sequence: integer,
      active: boolean,
    },
  },
  "mrp.production.group": {
    order: "id",
    fields: { name: char, production_ids: one2many("mrp.production", "production_group_id") },
  },
  "mrp.production": {
    order: "priority desc,date_start,id",
    fields: {
      name: char,
      state: selection("draft", "confirmed", "progress", "to_close", "done", "cancel"),
      product_id: many2one("product.product"),
      product_qty: float,
      product_uom_id: many2one("uom.uom"),
      qty_producing: float,
      qty_produced: from<Production>(float, (db, row) =>
        sum(
          finishedMovesOf(db, row)
            .filter((move) => move.state === "done" && move.product_id === row.product_id)
            .flatMap((move) => linesOf(db, move).map((line) => line.quantity)),
        ),
      ),
      bom_id: many2one("mrp.bom"),
      lot_producing_ids: many2many("stock.lot"),
      consumption: selection("flexible", "warning", "strict"),
      origin: char,
      priority: selection("0", "1"),
      date_start: datetime,
      date_finished: datetime,
      date_deadline: datetime,
      backorder_sequence: integer,
      production_group_id: many2one("mrp.production.group"),
      picking_type_id: many2one("stock.picking.type"),
      location_src_id: many2one("stock.location"),
      location_dest_id: many2one("stock.location"),
      is_locked: boolean,
      warehouse_id: from<Production>(many2one("stock.warehouse"), (db, row) => warehouseOf(db, row.picking_type_id)),
      picking_ids: from<Production>(many2many("stock.picking"), (db, row) => idsOf(picksOf(db, row))),
      move_raw_ids: from<Production>(one2many("stock.move", "raw_material_production_id"), (db, row) =>
        idsOf(rawMovesOf(db, row)),
      ),
      move_finished_ids: from<Production>(one2many("stock.move", "production_id"), (db, row) => idsOf(finishedMovesOf(db, row))),
      workorder_ids: one2many("mrp.workorder", "production_id"),
      scrap_ids: one2many("stock.scrap", "production_id"),
      reservation_state: from<Production>(selection("confirmed", "assigned", "waiting"), reservationOf),
      message_ids: messages,
    },
  },
  "mrp.workorder": {
    order: "sequence,id",
    fields: {
      production_id: many2one("mrp.production"),
      name: char,
      operation_id: many2one("mrp.routing.workcenter"),
      workcenter_id: many2one("mrp.workcenter"),
      state: selection("blocked", "ready", "progress", "done", "cancel"),
      sequence: integer,
      duration_expected: float,
      duration: float,
      qty_produced: float,
      qty_remaining: from<Workorder>(float, (db, row) =>
        round(db.productions.get(row.production_id).product_qty - row.qty_produced),
      ),
      date_start: datetime,
      date_finished: datetime,
    },
  },
  "stock.picking": {
    order: "priority desc,scheduled_date,id desc",
    fields: {
      name: char,
      state: selection("draft", "waiting", "confirmed", "assigned", "done", "cancel"),
      picking_type_id: many2one("stock.picking.type"),
      location_id: many2one("stock.location"),
      location_dest_id: many2one("stock.location"),
      origin: char,
      note: char,
      partner_id: many2one("res.partner"),
      priority: selection("0", "1"),
      backorder_id: many2one("stock.picking"),
      backorder_ids: one2many("stock.picking", "backorder_id"),
      scheduled_date: datetime,
      date_done: datetime,
      production_group_id: many2one("mrp.production.group"),
      production_ids: from<Picking>(many2many("mrp.production"), (db, row) =>
        row.production_group_id === false ? [] : idsOf(db.productions.where("production_group_id", row.production_group_id)),
      ),
      move_ids: one2many("stock.move", "picking_id"),
      move_line_ids: one2many("stock.move.line", "picking_id"),
      message_ids: messages,
    },
  },
  "stock.move": {
    order: "sequence,id",
    title: (db, row) => movesTitle(db, row as Move),
    fields: {
      product_id: many2one("product.product"),
      product_uom: many2one("uom.uom"),
      product_uom_qty: float,
      quantity: from<Move>(float, (db, row) => sum(linesOf(db, row).map((line) => line.quantity))),
      picked: boolean,
      state: moveStates,
      location_id: many2one("stock.location"),
      location_dest_id: many2one("stock.location"),
      picking_id: many2one("stock.picking"),
      raw_material_production_id: many2one("mrp.production"),
      production_id: many2one("mrp.production"),
      scrap_id: many2one("stock.scrap"),
      move_dest_ids: many2many("stock.move"),
      move_orig_ids: many2many("stock.move"),
      move_line_ids: one2many("stock.move.line", "move_id"),
      lot_ids: from<Move>(many2many("stock.lot"), (db, row) => [
        ...new Set(linesOf(db, row).flatMap((line) => (line.lot_id === false ? [] : [line.lot_id]))),
      ]),
      origin: char,
      reference: char,
      production_group_id: from<Move>(many2one("mrp.production.group"), groupOf),
      operation_id: many2one("mrp.routing.workcenter"),
      workorder_id: many2one("mrp.workorder"),
      bom_line_id: many2one("mrp.bom.line"),
      sequence: integer,
      manual_consumption: boolean,
      unit_factor: float,
      date: datetime,
    },
  },
  "stock.move.line": {
    order: "id",
    fields: {
      move_id: many2one("stock.move"),
      picking_id: many2one("stock.picking"),
      product_id: many2one("product.product"),
      product_uom_id: many2one("uom.uom"),
      lot_id: many2one("stock.lot"),
      lot_name: char,
      quantity: float,
      quantity_product_uom: from<MoveLine>(float, (_db, row) => row.quantity),
      picked: boolean,
      location_id: many2one("stock.location"),
      location_dest_id: many2one("stock.location"),
      date: datetime,
      consume_line_ids: many2many("stock.move.line"),
      produce_line_ids: many2many("stock.move.line"),
      location_usage: from<MoveLine>(char, (db, row) => db.locations.find(row.location_id)?.usage ?? false),
      location_dest_usage: from<MoveLine>(char, (db, row) => db.locations.find(row.location_dest_id)?.usage ?? false),
      scrap_id: from<MoveLine>(many2one("stock.scrap"), (db, row) => moveOf(db, row)?.scrap_id ?? false),
      state: from<MoveLine>(moveStates, (db, row) => moveOf(db, row)?.state ?? false),
      reference: from<MoveLine>(char, (db, row) => moveOf(db, row)?.reference ?? false),
    },
  },
  "stock.quant": {
    order: "id",
    fields: {
      product_id: many2one("product.product"),
      location_id: many2one("stock.location"),
      lot_id: many2one("stock.lot"),
      quantity: float,
      reserved_quantity: float,
      available_quantity: from<Quant>(float, (_db, row) => round(row.quantity - row.reserved_quantity)),
      inventory_quantity_auto_apply: from<Quant>(float, (_db, row) => row.quantity),
      in_date: datetime,
      warehouse_id: from<Quant>(many2one("stock.warehouse"), (db, row) => db.locations.get(row.location_id).warehouse_id),
    },
  },
  "stock.scrap": {
    order: "id desc",
    fields: {
      name: char,
      state: selection("draft", "done"),
      product_id: many2one("product.product"),
      product_uom_id: many2one("uom.uom"),
      scrap_qty: float,
      lot_id: many2one("stock.lot"),
      location_id: many2one("stock.location"),
      scrap_location_id: many2one("stock.location"),
      production_id: many2one("mrp.production"),
      workorder_id: many2one("mrp.workorder"),
      picking_id: many2one("stock.picking"),
      origin: char,
      date_done: datetime,
      should_replenish: boolean,
      move_ids: from<Scrap>(one2many("stock.move", "scrap_id"), (db, row) => idsOf(db.moves.where("scrap_id", row.id))),
      message_ids: messages,
    },
  },
  "mail.message": {
    order: "id desc",
    fields: {
      model: char,
      res_id: integer,
      body: char,
      message_type: char,
      message_id: char,
      is_internal: boolean,
      date: datetime,
    },
  },
};

const common: Readonly<Record<string, Field>> = { id: integer, create_date: datetime, write_date: datetime, display_name: char };

export function modelOf(name: string): Model {
  const model = models[name];
  if (!model) throw notFound(`the model '${name}' does not exist`);
  return model;
}

/** @throws ErpFault 500 ValueError for a field that is not there, dotted ones among them */
export function fieldOf(model: string, name: string): Field {
  const field = findField(model, name);
  if (!field) throw valueError(`Invalid field '${name}' on '${model}'`);
  return field;
}

export function findField(model: string, name: string): Field | undefined {
  const { fields } = modelOf(model);
  return Object.hasOwn(fields, name) ? fields[name] : Object.hasOwn(common, name) ? common[name] : undefined;
}

export function titleOf(db: Database, model: string, row: Row): string {
  const title = modelOf(model).title?.(db, row);
  if (title !== undefined) return title;
  const name = (row as unknown as { name?: unknown }).name;
  return typeof name === "string" ? name : `${model},${row.id}`;
}
