import { z } from "zod";

/** An order as the gateway sends it to the WMS and to the scheduler. */
export const shopOrder = z.object({
  order: z.string(),
  name: z.string(),
  item: z.string(),
  qty: z.string(),
  uom: z.string(),
  revision: z.int(),
  needBy: z.string().optional(),
  lines: z.array(z.object({ no: z.int(), item: z.string(), qty: z.string(), uom: z.string(), op: z.int().optional() })),
});
export type ShopOrder = z.infer<typeof shopOrder>;
