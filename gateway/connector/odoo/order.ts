import type { OdooClient } from "./client.ts";
import { Unbookable } from "./quantities.ts";
import { lot, type Product, type Production, product, production } from "./records.ts";

/** Something that Odoo does not know yet: the message waits. */
export class NotYetKnown extends Error {}

export function moIdOf(erp: string, id: number): string {
  return `${erp}-mo-${id}`;
}

/** Odoo's id of a canonical order id; undefined when another system made it. */
export function parseMoId(erp: string, moId: string): number | undefined {
  const prefix = `${erp}-mo-`;
  const digits = moId.startsWith(prefix) ? moId.slice(prefix.length) : "";
  return /^[1-9]\d{0,15}$/.test(digits) ? Number(digits) : undefined;
}

/**
 * An order as it was released, and what became of it: each partial report closes an order of Odoo and opens another with a new id and
 * name for the rest. They share a production group, which is what joins them; names change.
 */
export interface OrderChain {
  readonly released: Production;
  /** The released order and its backorders, oldest first. */
  readonly members: readonly Production[];
  /** Where the next report goes; undefined when all is done or cancelled. */
  readonly open: Production | undefined;
}

/** Whether an order of Odoo was released under an id of its own. */
export type WasReleased = (moId: string) => Promise<boolean>;

/** @throws NotYetKnown, Unbookable for an order of another system */
export async function readChain(
  from: { client: OdooClient; erp: string; wasReleased: WasReleased; signal: AbortSignal },
  moId: string,
): Promise<OrderChain> {
  const { client, erp, wasReleased, signal } = from;
  const id = parseMoId(erp, moId);
  if (id === undefined) throw new Unbookable(`${moId} is no order of ${erp}`);
  const [released] = await client.search("mrp.production", production, [["id", "=", id]], signal);
  if (!released) throw new NotYetKnown(`Odoo has no order ${id}`);
  const group = released.production_group_id
    ? await client.search("mrp.production", production, [["production_group_id", "=", released.production_group_id[0]]], signal)
    : [];
  const others: { readonly order: Production; readonly own: boolean }[] = [];
  for (const order of group) {
    if (order.id !== id) others.push({ order, own: await wasReleased(moIdOf(erp, order.id)) });
  }
  const members = membersOf(released, others);
  return { released, members, open: members.find(isOpen) };
}

/**
 * Which orders of a group go on with `released`. `own`: parts of an order that was split in Odoo before work began, released under ids of
 * their own; a backorder does not say whose it is, so it has to follow from which of them are done.
 * @throws Unbookable where it does not
 */
export function membersOf(
  released: Production,
  others: readonly { readonly order: Production; readonly own: boolean }[],
): Production[] {
  // only a done order has backorders
  if (isOpen(released)) return [released];
  const backorders = others.flatMap(({ order, own }) => (!own && order.id > released.id ? [order] : []));
  if (backorders.length > 0 && others.some(({ order, own }) => own && order.state === "done")) {
    throw new Unbookable(
      `${released.name} was split in Odoo, and it does not say which part ${backorders[0]?.name} continues: book it there`,
    );
  }
  return [released, ...backorders];
}

function isOpen(order: Production): boolean {
  return order.state === "confirmed" || order.state === "progress" || order.state === "to_close";
}

/** The products of Odoo by id. */
export async function readProducts(
  client: OdooClient,
  ids: readonly number[],
  signal: AbortSignal,
): Promise<Map<number, Product>> {
  if (ids.length === 0) return new Map();
  const rows = await client.search(
    "product.product",
    product,
    [
      ["id", "in", [...new Set(ids)]],
      ["active", "in", [true, false]],
    ],
    signal,
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** The one product of an item code. @throws NotYetKnown, Unbookable when several share the code */
export async function findProduct(client: OdooClient, item: string, signal: AbortSignal): Promise<Product> {
  const rows = await client.search("product.product", product, [["default_code", "=", item]], signal, { limit: 2 });
  if (rows.length > 1) throw new Unbookable(`several products of Odoo have the reference ${item}`);
  const [found] = rows;
  if (!found) throw new NotYetKnown(`Odoo has no product with the reference ${item}`);
  return found;
}

/** The ids of named lots of a product; names that Odoo lacks are absent. */
export async function findLots(
  client: OdooClient,
  productId: number,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, number>> {
  if (names.length === 0) return new Map();
  const rows = await client.search(
    "stock.lot",
    lot,
    [
      ["product_id", "=", productId],
      ["name", "in", [...new Set(names)]],
    ],
    signal,
  );
  return new Map(rows.map((row) => [row.name, row.id]));
}

/** The lot to write for `name`: false where the product has none. @throws NotYetKnown, Unbookable */
export async function requireLot(
  client: OdooClient,
  of: Product,
  name: string | undefined,
  signal: AbortSignal,
): Promise<number | false> {
  if (of.tracking === "none") return false;
  if (name === undefined)
    throw new Unbookable(`${of.default_code || of.id} is tracked by ${of.tracking} in Odoo, and the message names none`);
  const id = (await findLots(client, of.id, [name], signal)).get(name);
  if (id === undefined) throw new NotYetKnown(`Odoo has no lot ${name} of ${of.default_code || of.id}`);
  return id;
}
