import { z } from "zod";

/** What the demo and the processes of its simulators tell one another (over the child's IPC channel). */
export const plantSettings = z.object({
  site: z.string(),
  plantDigit: z.int(),
  folder: z.string(),
  wmsPort: z.int(),
  schedulerPort: z.int(),
  floorUrl: z.string(),
  webhookUrl: z.string(),
  presses: z.array(z.object({ name: z.string(), port: z.int() })),
  secrets: z.object({ wms: z.string(), terminal: z.string(), devices: z.string(), scheduler: z.string() }),
  devices: z.int(),
  samplesPerSecond: z.number(),
});
export type PlantSettings = z.infer<typeof plantSettings>;

export const erpSettings = z.object({
  port: z.int(),
  apiKey: z.string(),
  database: z.string(),
  logFile: z.string(),
  plants: z.array(z.object({ site: z.string(), warehouse: z.string() })),
  ordersPerSecond: z.number(),
});
export type ErpSettings = z.infer<typeof erpSettings>;

const tally = z.object({ sent: z.number(), acked: z.number(), open: z.number() });
export const plantStatus = z.object({
  kind: z.literal("status"),
  wms: tally.extend({ orders: z.number(), repeatedOrders: z.number() }),
  terminals: tally,
  scheduler: tally.extend({ orders: z.number(), repeatedOrders: z.number() }),
  devices: tally.extend({ skipped: z.number() }),
});
export type PlantStatus = z.infer<typeof plantStatus>;

export const erpStatus = z.object({ kind: z.literal("status"), orders: z.record(z.string(), z.number()) });
export type ErpStatus = z.infer<typeof erpStatus>;

export const ready = z.object({ kind: z.literal("ready"), url: z.string() });
/** `run`: make orders or samples. `quiet`: no new ones; what is under way is finished. */
export const command = z.object({ kind: z.enum(["run", "quiet"]) });
export type Command = z.infer<typeof command>;
