import type { Peer } from "./client.ts";

/** An order of the demo's product, and the ids around it. */
export interface OpenOrder {
  readonly id: number;
  readonly name: string;
  readonly pick: number;
  /** Component moves and pick moves by item. */
  readonly raw: Readonly<Record<string, number>>;
  readonly picked: Readonly<Record<string, number>>;
  readonly product: Readonly<Record<string, number>>;
}

/** 100 pump housings in Lyon: 12.5 kg of RM-ALU and 200 of RM-SCR, both kept in lots. */
export async function openOrder(peer: Peer, quantity = 100): Promise<OpenOrder> {
  const { id, name } = peer.erp.createOrder({ plant: "LYO", item: "FG-HSG", quantity });
  const [order] = await peer.call<{ picking_ids: number[] }[]>("mrp.production", "read", { ids: [id], fields: ["picking_ids"] });
  const pick = order?.picking_ids[0] ?? 0;
  const product: Record<string, number> = {};
  for (const row of await peer.call<{ id: number; default_code: string }[]>("product.product", "search_read", {
    domain: [],
    fields: ["default_code"],
  })) {
    product[row.default_code] = row.id;
  }
  const movesOf = async (field: string, value: number) => {
    const rows = await peer.call<{ id: number; product_id: [number, string] }[]>("stock.move", "search_read", {
      domain: [[field, "=", value]],
      fields: ["product_id"],
    });
    const code = (of: number) => Object.entries(product).find(([, id]) => id === of)?.[0] ?? "";
    return Object.fromEntries(rows.map((row) => [code(row.product_id[0]), row.id]));
  };
  return {
    id,
    name,
    pick,
    raw: await movesOf("raw_material_production_id", id),
    picked: await movesOf("picking_id", pick),
    product,
  };
}

export const closing = { skip_consumption: true, skip_backorder: true, skip_redirection: true };

/** Brings all components to the line. */
export async function pickAll(peer: Peer, order: OpenOrder): Promise<void> {
  await peer.call("stock.picking", "button_validate", { ids: [order.pick], context: { skip_backorder: true } });
}

/** Reports `quantity` pieces with a lot, scaled by the bill of materials. */
export async function setProduced(
  peer: Peer,
  order: Pick<OpenOrder, "id" | "product">,
  quantity: number,
  lot: string,
): Promise<void> {
  const lots = [[0, 0, { name: lot, product_id: order.product["FG-HSG"] }]];
  await peer.call("mrp.production", "write", { ids: [order.id], vals: { qty_producing: quantity, lot_producing_ids: lots } });
  await peer.call("mrp.production", "set_qty_producing", { ids: [order.id] });
}

/** One value of one row. */
export async function value<T = unknown>(peer: Peer, model: string, id: number, field: string): Promise<T> {
  const [row] = await peer.call<Record<string, T>[]>(model, "read", { ids: [id], fields: [field] });
  return row?.[field] as T;
}

/** Stock of an item in Lyon, by place and lot. */
export async function stockOf(peer: Peer, item: string): Promise<Record<string, number>> {
  const domain = [
    ["product_id.default_code", "=", item],
    ["warehouse_id.code", "=", "LYO"],
  ];
  const fields = ["location_id", "lot_id", "quantity"];
  const rows = await peer.call<{ location_id: [number, string]; lot_id: [number, string] | false; quantity: number }[]>(
    "stock.quant",
    "search_read",
    { domain, fields },
  );
  return Object.fromEntries(
    rows.map((row) => [`${row.location_id[1].replace("LYO/", "")} ${row.lot_id ? row.lot_id[1] : "-"}`, row.quantity]),
  );
}
