import type { Rpc } from "./rpc.ts";

/** What a run finds in Odoo: two plants that pick first, a made product of lots and its two components of lots. */
export interface Plant {
  readonly run: string;
  readonly warehouses: Readonly<Record<"LYO" | "POR", Warehouse>>;
  readonly items: { readonly housing: Item; readonly alu: Item; readonly insert: Item };
  readonly lots: Readonly<Record<"L1" | "L2" | "I1" | "I2", Lot>>;
  readonly bom: number;
}
export interface Warehouse {
  readonly id: number;
  readonly code: string;
  readonly stock: number;
  readonly preProduction: number;
  readonly pickType: number;
  readonly manufactureType: number;
}
export interface Item {
  readonly id: number;
  readonly code: string;
  readonly uom: number;
}
export interface Lot {
  readonly id: number;
  readonly name: string;
}

/**
 * Brings Odoo to where the scenario starts. Warehouses are made once, with an administrator's key (making one changes user groups);
 * items and lots are new in each run, so that runs do not see each other's stock.
 */
export async function setUpPlant(rpc: Rpc, admin: Rpc | undefined): Promise<Plant> {
  const run = Date.now().toString(36).toUpperCase();
  const warehouses = { LYO: await warehouse(rpc, admin, "LYO", "Lyon"), POR: await warehouse(rpc, admin, "POR", "Porto") };
  const centre = await workCentre(rpc, "PRESS-7");
  const units = await unit(rpc, "Units");
  const kg = await unit(rpc, "kg");

  const item = async (code: string, uom: number): Promise<Item> => {
    const [id] = await rpc<number[]>("product.product", "create", {
      vals_list: [{ name: code, default_code: code, type: "consu", is_storable: true, tracking: "lot", uom_id: uom }],
    });
    return { id: id!, code, uom };
  };
  const items = {
    housing: await item(`FG-HSG-${run}`, units),
    alu: await item(`RM-ALU-${run}`, kg),
    insert: await item(`RM-INS-${run}`, units),
  };
  const [template] = await rpc<{ product_tmpl_id: [number, string] }[]>("product.product", "read", {
    ids: [items.housing.id],
    fields: ["product_tmpl_id"],
  });
  const [bom] = await rpc<number[]>("mrp.bom", "create", {
    vals_list: [
      {
        product_tmpl_id: template!.product_tmpl_id[0],
        product_qty: 100,
        product_uom_id: units,
        consumption: "flexible",
        operation_ids: [[0, 0, { name: "Press", workcenter_id: centre, time_cycle_manual: 1, sequence: 10 }]],
        bom_line_ids: [
          [0, 0, { product_id: items.alu.id, product_qty: 12.5, product_uom_id: kg }],
          [0, 0, { product_id: items.insert.id, product_qty: 200, product_uom_id: units }],
        ],
      },
    ],
  });
  // one component goes into the operation, the other into the order as a whole: both occur
  const [made] = await rpc<{ operation_ids: number[]; bom_line_ids: number[] }[]>("mrp.bom", "read", {
    ids: [bom!],
    fields: ["operation_ids", "bom_line_ids"],
  });
  await rpc("mrp.bom.line", "write", { ids: [made!.bom_line_ids[0]], vals: { operation_id: made!.operation_ids[0] } });

  const lot = async (name: string, of: Item): Promise<Lot> => {
    const [id] = await rpc<number[]>("stock.lot", "create", { vals_list: [{ name: `${name}-${run}`, product_id: of.id }] });
    return { id: id!, name: `${name}-${run}` };
  };
  const lots = {
    L1: await lot("L1", items.alu),
    L2: await lot("L2", items.alu),
    I1: await lot("I1", items.insert),
    I2: await lot("I2", items.insert),
  };
  const stock = (at: Warehouse, of: Item, which: Lot, quantity: number): Promise<unknown> =>
    rpc("stock.quant", "create", {
      vals_list: [{ product_id: of.id, location_id: at.stock, lot_id: which.id, inventory_quantity_auto_apply: quantity }],
      context: { inventory_mode: true },
    });
  for (const at of Object.values(warehouses)) {
    await stock(at, items.alu, lots.L1, 100);
    await stock(at, items.alu, lots.L2, 100);
    await stock(at, items.insert, lots.I1, 2000);
    await stock(at, items.insert, lots.I2, 2000);
  }
  return { run, warehouses, items, lots, bom: bom! };
}

/** A confirmed order for `quantity` housings. */
export async function confirmOrder(
  rpc: Rpc,
  plant: Plant,
  at: Warehouse,
  quantity: number,
  deadline = "2026-12-01 06:30:00",
): Promise<number> {
  const [id] = await rpc<number[]>("mrp.production", "create", {
    vals_list: [
      {
        product_id: plant.items.housing.id,
        product_qty: quantity,
        bom_id: plant.bom,
        picking_type_id: at.manufactureType,
        date_deadline: deadline,
      },
    ],
  });
  await rpc("mrp.production", "action_confirm", { ids: [id!] });
  return id!;
}

async function warehouse(rpc: Rpc, admin: Rpc | undefined, code: string, name: string): Promise<Warehouse> {
  const fields = ["code", "manufacture_steps", "lot_stock_id", "pbm_loc_id", "pbm_type_id", "manu_type_id"];
  const find = () =>
    rpc<
      {
        id: number;
        manufacture_steps: string;
        lot_stock_id: [number, string];
        pbm_loc_id: [number, string];
        pbm_type_id: [number, string];
        manu_type_id: [number, string];
      }[]
    >("stock.warehouse", "search_read", { domain: [["code", "=", code]], fields });
  if ((await find()).length === 0) {
    if (!admin)
      throw new Error(`Odoo has no warehouse ${code} yet: set ODOO_ADMIN_API_KEY once, as only an administrator can make one`);
    await admin("stock.warehouse", "create", { vals_list: [{ name, code }] });
  }
  if ((await find())[0]!.manufacture_steps !== "pbm") {
    await rpc("stock.warehouse", "write", { ids: [(await find())[0]!.id], vals: { manufacture_steps: "pbm" } });
  }
  const found = (await find())[0]!;
  return {
    id: found.id,
    code,
    stock: found.lot_stock_id[0],
    preProduction: found.pbm_loc_id[0],
    pickType: found.pbm_type_id[0],
    manufactureType: found.manu_type_id[0],
  };
}

async function workCentre(rpc: Rpc, code: string): Promise<number> {
  const [found] = await rpc<{ id: number }[]>("mrp.workcenter", "search_read", {
    domain: [["code", "=", code]],
    fields: ["code"],
    limit: 1,
  });
  if (found) return found.id;
  const [id] = await rpc<number[]>("mrp.workcenter", "create", { vals_list: [{ name: code, code }] });
  return id!;
}

async function unit(rpc: Rpc, name: string): Promise<number> {
  const [found] = await rpc<{ id: number }[]>("uom.uom", "search_read", {
    domain: [["name", "=", name]],
    fields: ["name"],
    limit: 1,
    context: { lang: "en_US" },
  });
  if (!found) throw new Error(`Odoo has no unit ${name}`);
  return found.id;
}
