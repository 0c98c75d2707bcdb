import { z } from "zod";
import { duration } from "../measure.ts";
import { secretRef } from "./shared.ts";

/** What the connector can bring in, and what it can book. */
export const odooSources = ["production-order.released"] as const;
export const odooOperations = [
  "transfer.confirm",
  "material.consume",
  "production.report",
  "scrap.book",
  "shortage.note",
] as const;

/** Odoo 19 over JSON-2. */
export const odooConnector = z.strictObject({
  type: z.literal("odoo"),
  url: z.url({ protocol: /^https?$/ }).meta({ description: "Odoo's address." }),
  database: z.string().min(1).meta({ description: "Its database." }),
  apiKey: secretRef,
  erp: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/)
    .default("hq")
    .meta({ description: "Prefix of canonical ids: <erp>-mo-<id>." }),
  warehouses: z
    .array(z.string().min(1).max(5))
    .min(1)
    .meta({ description: "Codes of the warehouses whose orders are released." }),
  units: z.record(z.string(), z.string()).meta({ description: "Odoo's unit names to UN/ECE Rec 20 codes." }),
  every: duration.default("5s").meta({ description: "Time between two polls." }),
  timeout: duration.default("60s").meta({ description: "Odoo's own conflict retries can take 15 s and more." }),
  settle: duration.default("150s").meta({
    description:
      "How long Odoo may still be at work on a call whose answer was lost: its limit_time_real (120 s by default) and some more. Until then a booking that is not found is not made again.",
  }),
});
export type OdooConnectorConfig = z.infer<typeof odooConnector>;
