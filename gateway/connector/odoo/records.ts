import { z } from "zod";

/** A many2one as Odoo writes it: `[id, display name]`, or `false` when empty. */
const many2one = z.union([z.literal(false), z.tuple([z.int(), z.string()])]);
const required = z.tuple([z.int(), z.string()]);
/** Empty text is `false`, never null. */
const optionalText = z.union([z.literal(false), z.string()]);
const ids = z.array(z.int());

/** The fields that we read, per model; `search` asks for exactly these. */
export const production = z.object({
  id: z.int(),
  name: z.string(),
  state: z.enum(["draft", "confirmed", "progress", "to_close", "done", "cancel"]),
  product_id: required,
  product_qty: z.number(),
  product_uom_id: required,
  production_group_id: many2one,
  backorder_sequence: z.int(),
  location_src_id: required,
  location_dest_id: required,
  warehouse_id: many2one,
  picking_ids: ids,
  priority: optionalText,
  date_deadline: optionalText,
  write_date: z.string(),
});
export type Production = z.infer<typeof production>;

export const rawMove = z.object({
  id: z.int(),
  raw_material_production_id: many2one,
  product_id: required,
  product_uom_qty: z.number(),
  product_uom: required,
  state: z.string(),
  picked: z.boolean(),
  location_id: required,
  location_dest_id: required,
  operation_id: many2one,
});
export type RawMove = z.infer<typeof rawMove>;

export const workOrder = z.object({
  id: z.int(),
  production_id: required,
  name: z.string(),
  sequence: z.int(),
  operation_id: many2one,
  workcenter_id: required,
  duration_expected: z.number(),
  state: z.string(),
});
export type WorkOrder = z.infer<typeof workOrder>;

export const operation = z.object({ id: z.int(), sequence: z.int() });
export const workCentre = z.object({ id: z.int(), code: optionalText, name: z.string() });
export const warehouse = z.object({ id: z.int(), code: z.string() });

export const product = z.object({
  id: z.int(),
  default_code: optionalText,
  uom_id: required,
  tracking: z.enum(["none", "lot", "serial"]),
});
export type Product = z.infer<typeof product>;

export const lot = z.object({ id: z.int(), name: z.string(), product_id: required });

export const picking = z.object({
  id: z.int(),
  name: z.string(),
  state: z.enum(["draft", "waiting", "confirmed", "assigned", "done", "cancel"]),
  location_id: required,
  location_dest_id: required,
  picking_type_id: required,
});
export type Picking = z.infer<typeof picking>;

export const pickMove = z.object({
  id: z.int(),
  picking_id: many2one,
  product_id: required,
  product_uom: required,
  state: z.string(),
  move_dest_ids: ids,
  location_id: required,
  location_dest_id: required,
});
export type PickMove = z.infer<typeof pickMove>;

export const moveLine = z.object({
  id: z.int(),
  move_id: many2one,
  product_id: required,
  product_uom_id: required,
  lot_id: many2one,
  quantity: z.number(),
  picked: z.boolean(),
  location_id: required,
});
export type MoveLine = z.infer<typeof moveLine>;

/** A line of a done move, in the product's own unit. */
export const doneLine = z.object({ id: z.int(), product_id: required, lot_id: many2one, quantity_product_uom: z.number() });

export const quant = z.object({ id: z.int(), location_id: required, quantity: z.number() });
export const scrap = z.object({ id: z.int(), name: z.string(), state: z.enum(["draft", "done"]) });
export const note = z.object({
  id: z.int(),
  model: optionalText,
  res_id: z.union([z.literal(false), z.int()]),
  message_id: optionalText,
});
