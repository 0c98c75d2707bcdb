import { z } from "zod";
import { type Effect, keys, type Sent } from "./evidence.ts";
import type { RunPlan } from "./run-plan.ts";
import { erpName, linesOf, parseLine, receiversOf } from "./simulator-files.ts";

/** What the ERP wrote of itself: orders that it released, and what it booked, with the keys of the messages that brought it. */
const line = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("released"),
    moId: z.string(),
    orderName: z.string(),
    warehouse: z.string(),
    item: z.string(),
    quantity: z.number(),
    revision: z.int(),
  }),
  z.object({
    kind: z.literal("booked"),
    what: z.enum(["pick", "consumption", "finished", "scrap", "note"]),
    txn: z.string().nullable(),
    txns: z.array(z.string()).optional(),
    type: z.string().nullish(),
    moId: z.string().nullable(),
  }),
]);

/** @throws Error with file and line for a line that cannot be read */
export async function readErp(plan: RunPlan): Promise<{ sent: Sent[]; effects: Effect[] }> {
  const sent: Sent[] = [];
  const effects: Effect[] = [];
  const siteOf = new Map<string, string>();
  for await (const { value, where } of linesOf(plan.erp.file)) {
    const entry = parseLine(line, value, where);
    if (entry.kind === "released") {
      const plant = plan.plants.find(({ warehouse }) => warehouse === entry.warehouse);
      if (!plant) throw new Error(`${where}: no plant of warehouse ${entry.warehouse} in the run plan`);
      siteOf.set(entry.moId, plant.site);
      const { wms, scheduler, presses } = receiversOf(plant);
      sent.push({
        key: keys.release(plan.erp.site, entry.moId, entry.revision),
        sender: erpName,
        orderKey: entry.moId,
        // the ERP is asked, it sends nothing: what it shows as confirmed has to be found
        acked: true,
        fields: { moId: entry.moId, orderName: entry.orderName, item: entry.item, qty: String(entry.quantity) },
        // a press knows no revisions: the first one is what it starts
        receivers: [wms, scheduler, ...(entry.revision === 1 ? presses : [])],
        where,
      });
      continue;
    }
    const site = siteOf.get(entry.moId ?? "");
    if (site === undefined) continue;
    for (const key of effectKeys(entry, site)) effects.push({ key, receiver: erpName, orderKey: entry.moId ?? "", where });
  }
  return { sent, effects };
}

/**
 * Consumption and shortages show as their note, which the ERP keeps in the same transaction as what it notes: stock of consumed material moves
 * later, in one line for several messages.
 */
function effectKeys(entry: Extract<z.infer<typeof line>, { kind: "booked" }>, site: string): string[] {
  const named = entry.txns ?? (entry.txn === null ? [] : [entry.txn]);
  switch (entry.what) {
    case "pick":
    case "finished":
    case "scrap":
      return named.map((key) => `${entry.what} ${site} ${key}`);
    case "note":
      if (entry.type === "mfg.material.consumed.v1") return named.map((key) => `consumed ${site} ${key}`);
      if (entry.type === "mfg.shortage.reported.v1") return named.map((key) => `shortage ${site} ${key}`);
      return [];
    case "consumption":
      return [];
  }
}
