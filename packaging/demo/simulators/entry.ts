import { z } from "zod";

/**
 * What the simulators write of themselves. `sending` stands in the file before the message leaves, `acked` after the gateway
 * took it over (PUBACK, PUBCOMP, HTTP 202); `order` when a receiver got an order, `effect: false` for a repeat.
 */
const at = z.string();

const pick = z.object({
  fact: z.literal("pick"),
  txn: z.string(),
  task: z.string(),
  order: z.string(),
  /** The SSCC as text; on the wire it is a bare number of 18 digits. */
  lines: z.array(
    z.object({ no: z.number(), sku: z.string(), lot: z.string(), qty: z.string(), uom: z.string(), sscc: z.string() }),
  ),
});
const shortage = z.object({
  fact: z.literal("shortage"),
  txn: z.string(),
  order: z.string(),
  sku: z.string(),
  short: z.string(),
  uom: z.string(),
});
const finished = z.object({
  fact: z.literal("finished"),
  txn: z.string(),
  order: z.string(),
  item: z.string(),
  lot: z.string(),
  good: z.string(),
  uom: z.string(),
  final: z.boolean(),
  consumed: z.array(z.object({ no: z.number(), item: z.string(), lot: z.string(), qty: z.string(), uom: z.string() })),
});
const scrap = z.object({
  fact: z.literal("scrap"),
  txn: z.string(),
  order: z.string(),
  item: z.string(),
  lot: z.string(),
  qty: z.string(),
  uom: z.string(),
});
const schedule = z.object({
  fact: z.literal("schedule"),
  /** `R-12` for revision 12. */
  txn: z.string(),
  revision: z.number(),
  workCentres: z.array(z.object({ workCentre: z.string(), orders: z.array(z.string()) })),
});

const fact = z.discriminatedUnion("fact", [pick, shortage, finished, scrap, schedule]);
export type Fact = z.infer<typeof fact>;
export type PickFact = z.infer<typeof pick>;

export const entry = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("sending"), at, fact }),
  z.object({ kind: z.literal("acked"), at, txn: z.string() }),
  z.object({ kind: z.literal("order"), at, order: z.string(), revision: z.number(), effect: z.boolean() }),
  /** `sampleAt`: the device's own stamp, unique per device. */
  z.object({ kind: z.literal("sample"), device: z.string(), item: z.string(), value: z.number(), sampleAt: at }),
  z.object({ kind: z.literal("sample-acked"), device: z.string(), sampleAt: at }),
]);
export type Entry = z.infer<typeof entry>;
