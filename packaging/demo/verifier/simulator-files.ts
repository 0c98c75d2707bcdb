import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { entry, type Fact } from "../simulators/entry.ts";
import { type Effect, keys, type Sample, type Sent } from "./evidence.ts";
import type { RunPlan } from "./run-plan.ts";

type Plant = RunPlan["plants"][number];

export interface Said {
  readonly sent: Sent[];
  readonly effects: Effect[];
  readonly accepted: Sample[];
  readonly set: Sample[];
}

/** Where facts of the plants have to arrive in the end. */
export const erpName = "ERP";
export const receiversOf = (plant: Plant): { wms: string; scheduler: string; presses: string[] } => ({
  wms: `WMS of ${plant.site}`,
  scheduler: `scheduler of ${plant.site}`,
  presses: plant.presses.map(({ name }) => `press ${name} of ${plant.site}`),
});

/** All that the simulators of one plant wrote of themselves. @throws Error with file and line for a line that cannot be read */
export async function readPlant(plant: Plant, pressItems: readonly string[], erpSite: string): Promise<Said> {
  const said: Said = { sent: [], effects: [], accepted: [], set: [] };
  const receivers = receiversOf(plant);
  for (const [file, sender, receiver] of [
    [plant.wms, receivers.wms, receivers.wms],
    [plant.scheduler, receivers.scheduler, receivers.scheduler],
    [plant.terminals, `terminals of ${plant.site}`, ""],
    [plant.devices, "", ""],
  ] as const) {
    await readSimulator(file, { sender, receiver, site: plant.site, erpSite }, said);
  }
  for (const [index, press] of plant.presses.entries()) {
    await readPress(
      press.file,
      { site: plant.site, name: press.name, receiver: receivers.presses[index] ?? "", items: pressItems, erpSite },
      said,
    );
  }
  return said;
}

async function readSimulator(
  file: string,
  { sender, receiver, site, erpSite }: { sender: string; receiver: string; site: string; erpSite: string },
  said: Said,
): Promise<void> {
  const facts = new Map<string, { fact: Fact; where: string; acked: boolean }>();
  const samples = new Map<string, Sample>();
  for await (const { value, where } of linesOf(file)) {
    const line = parseLine(entry, value, where);
    switch (line.kind) {
      case "sending":
        // a repeat carries the same txn; the first time is when it was sent
        if (!facts.has(line.fact.txn)) facts.set(line.fact.txn, { fact: line.fact, where, acked: false });
        break;
      case "acked": {
        const known = facts.get(line.txn);
        if (known) known.acked = true;
        break;
      }
      case "order":
        if (line.effect)
          said.effects.push({ key: keys.release(erpSite, line.order, line.revision), receiver, orderKey: line.order, where });
        break;
      case "sample":
        samples.set(`${line.device}\n${line.sampleAt}`, {
          series: `${site} ${line.device} ${line.item}`,
          at: line.sampleAt,
          value: String(line.value),
        });
        break;
      case "sample-acked": {
        const sample = samples.get(`${line.device}\n${line.sampleAt}`);
        if (sample) said.accepted.push(sample);
        break;
      }
    }
  }
  for (const { fact, where, acked } of facts.values()) {
    for (const message of messagesOf(fact, site)) said.sent.push({ ...message, sender, acked, where });
  }
}

/** The canonical messages that one report of a system becomes. */
function messagesOf(fact: Fact, site: string): Pick<Sent, "key" | "orderKey" | "fields" | "receivers">[] {
  const receivers = [erpName];
  switch (fact.fact) {
    case "pick":
      return fact.lines.map((line) => ({
        key: keys.pick(site, fact.txn, line.no),
        orderKey: fact.order,
        fields: { moId: fact.order, item: line.sku, lot: line.lot, qty: line.qty, unit: line.uom, sscc: line.sscc },
        receivers,
      }));
    case "shortage":
      return [
        {
          key: keys.shortage(site, fact.txn),
          orderKey: fact.order,
          fields: { moId: fact.order, item: fact.sku, qty: fact.short, unit: fact.uom },
          receivers,
        },
      ];
    case "finished":
      return [
        ...fact.consumed.map((line) => ({
          key: keys.consumed(site, fact.txn, line.no),
          orderKey: fact.order,
          fields: { moId: fact.order, item: line.item, lot: line.lot, qty: line.qty, unit: line.uom },
          receivers,
        })),
        {
          key: keys.finished(site, fact.txn),
          // of one report, which of its messages comes first is the configuration's to say; between reports the order holds for both
          orderKey: `${fact.order} finished`,
          fields: { moId: fact.order, item: fact.item, lot: fact.lot, qty: fact.good, unit: fact.uom, final: String(fact.final) },
          receivers,
        },
      ];
    case "scrap":
      return [
        {
          key: keys.scrap(site, fact.txn),
          orderKey: fact.order,
          fields: { moId: fact.order, item: fact.item, lot: fact.lot, qty: fact.qty, unit: fact.uom },
          receivers,
        },
      ];
    case "schedule":
      return fact.workCentres.map(({ workCentre, orders }) => ({
        key: keys.schedule(site, workCentre, fact.revision),
        orderKey: workCentre,
        fields: { orders: orders.join(" ") },
        receivers: [],
      }));
  }
}

const deed = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("value"), at: z.string(), item: z.string(), value: z.union([z.string(), z.number()]) }),
  z.object({ kind: z.literal("order"), at: z.string(), moId: z.string() }),
]);

async function readPress(
  file: string,
  {
    site,
    name,
    receiver,
    items,
    erpSite,
  }: { site: string; name: string; receiver: string; items: readonly string[]; erpSite: string },
  said: Said,
): Promise<void> {
  for await (const { value, where } of linesOf(file)) {
    const line = parseLine(deed, value, where);
    // a press knows no revisions: the first one is what starts it
    if (line.kind === "order")
      said.effects.push({ key: keys.release(erpSite, line.moId, 1), receiver, orderKey: line.moId, where });
    else if (items.includes(line.item))
      said.set.push({ series: `${site} ${name} ${line.item}`, at: line.at, value: String(line.value) });
  }
}

/** The lines of a file that may still be written to: one without its end is not there yet. */
export async function* linesOf(file: string): AsyncGenerator<{ value: unknown; where: string }> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  let held: { text: string; number: number } | undefined;
  const parse = (line: { text: string; number: number }): { value: unknown; where: string } => {
    const where = `${basename(file)}:${line.number}`;
    try {
      return { value: JSON.parse(line.text), where };
    } catch (cause) {
      throw new Error(`${where} is not JSON`, { cause });
    }
  };
  for await (const text of lines) {
    if (held) yield parse(held);
    number += 1;
    held = text === "" ? undefined : { text, number };
  }
  if (!held) return;
  try {
    JSON.parse(held.text);
  } catch {
    return;
  }
  yield parse(held);
}

export function parseLine<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
