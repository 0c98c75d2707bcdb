import type { Database, Lot, Move } from "./database.ts";
import { accessError, ErpFault, validationError } from "./fault.ts";
import { type Context, nextPickingName } from "./picking.ts";
import { bomOf } from "./production.ts";
import { toStored } from "./read.ts";
import { findField } from "./schema.ts";
import type { Row, Value } from "./table.ts";
import type { Values, WriterDeps } from "./write.ts";

/**
 * The new row of a create, with Odoo's defaults; x2many commands follow it.
 * @throws ErpFault 403 for models that nobody creates over the API
 */
export function insertRow(deps: WriterDeps, model: string, values: Values, context: Context): Row {
  const { db, stock, manufacturing } = deps;
  const given: Record<string, Value> = {};
  for (const [name, value] of Object.entries(values)) {
    const field = findField(model, name);
    if (field && !field.compute && field.kind !== "one2many" && field.kind !== "many2many")
      given[name] = toStored(db, model, name, value);
  }
  const id = (name: string): number => {
    const value = given[name];
    if (typeof value !== "number")
      throw validationError(`The operation cannot be completed: Missing required value for the field '${name}' (${model})`);
    return value;
  };
  const text = (name: string): string | false => (typeof given[name] === "string" ? (given[name] as string) : false);
  switch (model) {
    case "product.product": {
      const template = db.templates.insert({ name: text("name") || "", default_code: text("default_code") });
      const defaults = {
        name: "",
        default_code: false,
        barcode: false,
        type: "consu",
        is_storable: false,
        tracking: "none",
        uom_id: 1,
        active: true,
      } as const;
      return db.products.insert({ ...defaults, ...given, product_tmpl_id: template.id });
    }
    case "mrp.workcenter":
      return db.workcenters.insert({ name: "", code: false, ...given });
    case "mrp.bom":
      return db.boms.insert({
        product_qty: 1,
        product_uom_id: 1,
        code: false,
        type: "normal",
        consumption: "warning",
        ...given,
        product_tmpl_id: id("product_tmpl_id"),
      });
    case "mrp.bom.line":
      return db.bomLines.insert({
        product_qty: 1,
        operation_id: false,
        sequence: 1,
        product_uom_id: db.products.get(id("product_id")).uom_id,
        ...given,
        bom_id: id("bom_id"),
        product_id: id("product_id"),
      });
    case "mrp.routing.workcenter":
      return db.operations.insert({
        name: "",
        time_cycle_manual: 60,
        sequence: 100,
        active: true,
        ...given,
        bom_id: id("bom_id"),
        workcenter_id: id("workcenter_id"),
      });
    case "stock.lot":
      return createLot(db, id("product_id"), text("name"), text("ref"), text("note"));
    case "mrp.production": {
      const product = id("product_id");
      return manufacturing.create({
        product,
        quantity: typeof given.product_qty === "number" ? given.product_qty : 1,
        bom: typeof given.bom_id === "number" ? given.bom_id : bomOf(db, product),
        pickingType: typeof given.picking_type_id === "number" ? given.picking_type_id : firstManufacturing(db),
        origin: text("origin"),
        priority: given.priority === "1" ? "1" : "0",
        dateStart: typeof given.date_start === "number" ? given.date_start : db.transaction.now,
        deadline: typeof given.date_deadline === "number" ? given.date_deadline : false,
      });
    }
    case "stock.picking": {
      const type = db.pickingTypes.get(id("picking_type_id"));
      return db.pickings.insert({
        name: nextPickingName(db, type.id),
        state: "draft",
        origin: false,
        note: false,
        partner_id: false,
        priority: "0",
        backorder_id: false,
        scheduled_date: db.transaction.now,
        date_done: false,
        production_group_id: false,
        ...given,
        picking_type_id: type.id,
        location_id: id("location_id"),
        location_dest_id: id("location_dest_id"),
      });
    }
    case "stock.move":
      return createMove(db, given, values, id);
    case "stock.scrap": {
      const product = db.products.get(id("product_id"));
      const losses = [...db.locations.all()].find((location) => location.usage === "inventory");
      return db.scraps.insert({
        name: "New",
        state: "draft",
        product_uom_id: product.uom_id,
        lot_id: false,
        production_id: false,
        workorder_id: false,
        picking_id: false,
        origin: false,
        date_done: false,
        should_replenish: false,
        scrap_location_id: losses?.id ?? 0,
        scrap_qty: 1,
        ...given,
        product_id: product.id,
        location_id: id("location_id"),
      });
    }
    case "stock.quant": {
      const lot = typeof given.lot_id === "number" ? given.lot_id : false;
      if (!context.inventory_mode) throw accessError("You are not allowed to create 'Quants' (stock.quant) records.");
      return stock.count(id("product_id"), id("location_id"), lot, Number(values.inventory_quantity_auto_apply ?? 0));
    }
    case "stock.move.line": {
      const move = typeof given.move_id === "number" ? db.moves.get(given.move_id) : undefined;
      // a line that names no picking gets none, unlike its siblings
      return stock.createLine(move, {
        lot_id: false,
        quantity: 0,
        picked: false,
        picking_id: false,
        ...given,
        product_id: id("product_id"),
      });
    }
    case "mail.message": {
      const message = db.messages.insert({
        model: "",
        res_id: 0,
        body: "",
        message_type: "comment",
        message_id: `<${crypto.randomUUID()}@erp-simulator>`,
        is_internal: false,
        date: db.transaction.now,
        ...given,
      });
      deps.onNote(message.model, message.res_id, message.message_id);
      return message;
    }
    default:
      throw accessError(`You are not allowed to create records of '${model}'.`);
  }
}

function createLot(db: Database, product: number, name: string | false, ref: string | false, note: string | false): Lot {
  const lotName = name === false ? db.next("lot").padStart(7, "0") : name;
  if (db.lots.where("identity", `${product}/${lotName}`).length > 0) {
    throw validationError(
      `The combination of lot/serial number and product must be unique within a company including when no company is defined.\nThe following combinations contain duplicates:\n - Product: ${db.products.get(product).name}, Lot/Serial Number: ${lotName}`,
    );
  }
  return db.lots.insert({ name: lotName, product_id: product, ref, note });
}

function firstManufacturing(db: Database): number {
  for (const warehouse of db.warehouses.all()) return warehouse.manu_type_id;
  throw new ErpFault(500, "builtins.ValueError", "Expected singleton: stock.warehouse()");
}

/** A move added to a picking or, as one more component, to an order. A picking belongs to the production group of its moves. */
function createMove(db: Database, given: Readonly<Record<string, Value>>, values: Values, id: (name: string) => number): Move {
  const picking = typeof given.picking_id === "number" ? db.pickings.get(given.picking_id) : undefined;
  const order =
    typeof given.raw_material_production_id === "number" ? db.productions.get(given.raw_material_production_id) : undefined;
  const group = values.production_group_id;
  if (picking && typeof group === "number") db.pickings.update(picking, { production_group_id: db.groups.get(group).id });
  const product = db.products.get(id("product_id"));
  const isDraft = picking ? picking.state === "draft" : order?.state === "draft";
  return db.moves.insert({
    product_uom: product.uom_id,
    product_uom_qty: 1,
    picked: false,
    picking_id: false,
    raw_material_production_id: false,
    production_id: false,
    scrap_id: false,
    move_dest_ids: [],
    move_orig_ids: [],
    origin: order?.name ?? picking?.origin ?? false,
    reference: order?.name ?? picking?.name ?? false,
    operation_id: false,
    workorder_id: false,
    bom_line_id: false,
    sequence: 10,
    manual_consumption: false,
    unit_factor: order ? Number(given.product_uom_qty ?? 0) / order.product_qty : 1,
    date: db.transaction.now,
    ...given,
    state: isDraft ? "draft" : picking?.state === "done" ? "done" : "confirmed",
    product_id: product.id,
    location_id: id("location_id"),
    location_dest_id: id("location_dest_id"),
  });
}
