import type { Database } from "./database.ts";
import type { Stock } from "./stock.ts";

/** Master data of a simulated company; codes are `default_code`s, units Odoo's own names. */
export interface Plant {
  readonly warehouses: readonly { readonly code: string; readonly name: string }[];
  readonly items: readonly {
    readonly code: string;
    readonly name: string;
    readonly unit: string;
    readonly tracking: "none" | "lot";
  }[];
  readonly boms: readonly {
    readonly item: string;
    readonly quantity: number;
    readonly lines: readonly { readonly item: string; readonly quantity: number; readonly operation?: number }[];
    readonly operations: readonly {
      readonly seq: number;
      readonly name: string;
      readonly workCentre: string;
      readonly minutes: number;
    }[];
  }[];
  /** Lots with their stock in each warehouse; `lot` absent for items without lots. */
  readonly stock: readonly { readonly item: string; readonly lot?: string; readonly quantity: number }[];
}

/** The company of the demo: two plants that make housings and covers. */
export const demoPlant: Plant = {
  warehouses: [
    { code: "LYO", name: "Lyon" },
    { code: "POR", name: "Porto" },
  ],
  items: [
    { code: "FG-HSG", name: "Pump housing", unit: "Units", tracking: "lot" },
    { code: "FG-CVR", name: "Pump cover", unit: "Units", tracking: "lot" },
    { code: "RM-ALU", name: "Aluminium alloy", unit: "kg", tracking: "lot" },
    { code: "RM-SCR", name: "Screw M6", unit: "Units", tracking: "lot" },
    { code: "RM-SEAL", name: "Seal ring", unit: "Units", tracking: "lot" },
  ],
  boms: [
    {
      item: "FG-HSG",
      quantity: 100,
      lines: [
        { item: "RM-ALU", quantity: 12.5, operation: 10 },
        { item: "RM-SCR", quantity: 200, operation: 20 },
      ],
      operations: [
        { seq: 10, name: "Press", workCentre: "PRESS-7", minutes: 25 },
        { seq: 20, name: "Assemble", workCentre: "LINE-1", minutes: 40 },
      ],
    },
    {
      item: "FG-CVR",
      quantity: 100,
      lines: [
        { item: "RM-ALU", quantity: 5, operation: 10 },
        { item: "RM-SEAL", quantity: 100, operation: 20 },
      ],
      operations: [
        { seq: 10, name: "Press", workCentre: "PRESS-7", minutes: 15 },
        { seq: 20, name: "Assemble", workCentre: "LINE-1", minutes: 20 },
      ],
    },
  ],
  stock: [
    { item: "RM-ALU", lot: "L-2291", quantity: 1_000_000 },
    { item: "RM-ALU", lot: "L-2292", quantity: 1_000_000 },
    { item: "RM-SCR", lot: "L-5510", quantity: 10_000_000 },
    { item: "RM-SCR", lot: "L-5511", quantity: 10_000_000 },
    { item: "RM-SEAL", lot: "L-7301", quantity: 10_000_000 },
  ],
};

/** Fills an empty database. Both plants pick first and manufacture then. */
export function seed(db: Database, stock: Stock, plant: Plant): void {
  db.locations.insert({
    name: "Inventory adjustment",
    complete_name: "Inventory adjustment",
    usage: "inventory",
    warehouse_id: false,
  });
  db.locations.insert({ name: "Production", complete_name: "Production", usage: "production", warehouse_id: false });
  for (const { code, name } of plant.warehouses) {
    // the warehouse comes first so that its own places can name it
    const warehouse = db.warehouses.insert({
      name,
      code,
      manufacture_steps: "pbm",
      lot_stock_id: 0,
      pbm_loc_id: 0,
      pbm_type_id: 0,
      manu_type_id: 0,
    });
    const place = (own: string): number =>
      db.locations.insert({ name: own, complete_name: `${code}/${own}`, usage: "internal", warehouse_id: warehouse.id }).id;
    const type = (own: string, kind: "internal" | "mrp_operation", sequence: string): number =>
      db.pickingTypes.insert({ name: own, code: kind, sequence_code: sequence, warehouse_id: warehouse.id }).id;
    db.warehouses.update(warehouse, {
      lot_stock_id: place("Stock"),
      pbm_loc_id: place("Pre-Production"),
      pbm_type_id: type("Pick Components", "internal", "PC"),
      manu_type_id: type("Manufacturing", "mrp_operation", "MO"),
    });
  }
  const products = new Map<string, number>();
  for (const unit of ["Units", ...plant.items.map((item) => item.unit)])
    if (db.uoms.where("name", unit).length === 0) db.uoms.insert({ name: unit });
  const unitOf = (name: string): number => db.uoms.where("name", name)[0]?.id ?? 1;
  for (const { code, name, unit, tracking } of plant.items) {
    const template = db.templates.insert({ name, default_code: code });
    const fixed = { barcode: false, type: "consu", is_storable: true, active: true } as const;
    const product = db.products.insert({
      ...fixed,
      name,
      default_code: code,
      tracking,
      uom_id: unitOf(unit),
      product_tmpl_id: template.id,
    });
    products.set(code, product.id);
  }
  const productOf = (code: string) => db.products.get(products.get(code) ?? 0);
  const workCentres = new Map<string, number>();
  for (const bom of plant.boms) {
    const made = productOf(bom.item);
    const row = db.boms.insert({
      product_tmpl_id: made.product_tmpl_id,
      product_qty: bom.quantity,
      product_uom_id: made.uom_id,
      code: false,
      type: "normal",
      consumption: "warning",
    });
    const operations = new Map<number, number>();
    for (const { seq, name, workCentre, minutes } of bom.operations) {
      const centre = workCentres.get(workCentre) ?? db.workcenters.insert({ name: workCentre, code: workCentre }).id;
      workCentres.set(workCentre, centre);
      operations.set(
        seq,
        db.operations.insert({
          bom_id: row.id,
          name,
          workcenter_id: centre,
          time_cycle_manual: minutes,
          sequence: seq,
          active: true,
        }).id,
      );
    }
    for (const { item, quantity, operation } of bom.lines) {
      const component = productOf(item);
      db.bomLines.insert({
        bom_id: row.id,
        product_id: component.id,
        product_qty: quantity,
        product_uom_id: component.uom_id,
        operation_id: operations.get(operation ?? -1) ?? false,
        sequence: 1,
      });
    }
  }
  for (const { item, lot, quantity } of plant.stock) {
    const product = productOf(item).id;
    const lotId = lot === undefined ? false : stock.lot(product, lot);
    for (const warehouse of db.warehouses.all()) stock.count(product, warehouse.lot_stock_id, lotId, quantity);
  }
}
