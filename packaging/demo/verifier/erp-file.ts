import { z } from "zod";
import { type Effect, keys, type Sent } from "./evidence.ts";
import type { RunPlan } from "./run-plan.ts";
import { erpName, linesOf, parseLine, receiversOf } from "./simulator-files.ts";

/** What the ERP wrote of itself: the orders that it released, and each booking with the name of the message that brought it. */
const line = z.discriminatedUnion("kind", [
  z.looseObject({
    kind: z.literal("release"),
    moId: z.string(),
    name: z.string(),
    plant: z.string(),
    item: z.string(),
    quantity: z.union([z.string(), z.number()]),
  }),
  z.looseObject({ kind: z.literal("booking"), site: z.string(), type: z.string(), key: z.string(), moId: z.string().optional() }),
  z.looseObject({ kind: z.literal("other") }),
]);

export async function readErp(plan: RunPlan): Promise<{ sent: Sent[]; effects: Effect[] }> {
  const sent: Sent[] = [];
  const effects: Effect[] = [];
  for await (const { value, where } of linesOf(plan.erp.file)) {
    const entry = parseLine(line, value, where);
    if (entry.kind === "release") {
      const plant = plan.plants.find(({ site }) => site === entry.plant);
      if (!plant) throw new Error(`${where}: no plant ${String(entry.plant)} in the run plan`);
      const { wms, scheduler, presses } = receiversOf(plant);
      sent.push({
        key: keys.release(plan.erp.site, entry.moId, 1),
        sender: erpName,
        orderKey: entry.moId,
        // the ERP is asked, it sends nothing: what it shows as confirmed has to be found
        acked: true,
        fields: { moId: entry.moId, orderName: entry.name, item: entry.item, qty: String(entry.quantity) },
        receivers: [wms, scheduler, ...presses],
        where,
      });
    } else if (entry.kind === "booking") {
      const key = bookingKey(entry.site, entry.type, entry.key);
      if (key !== undefined) effects.push({ key, receiver: erpName, orderKey: entry.moId ?? "", where });
    }
  }
  return { sent, effects };
}

const nouns: Readonly<Record<string, string>> = {
  "mfg.pick.confirmed.v1": "pick",
  "mfg.shortage.reported.v1": "shortage",
  "mfg.material.consumed.v1": "consumed",
  "mfg.finished-goods.confirmed.v1": "finished",
  "mfg.scrap.reported.v1": "scrap",
};

/** A booking names its message by site, type and idempotency key, as the ledger does. */
function bookingKey(site: string, type: string, key: string): string | undefined {
  const noun = nouns[type];
  return noun === undefined ? undefined : `${noun} ${site} ${key}`;
}
