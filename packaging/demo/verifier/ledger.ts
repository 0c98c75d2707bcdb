import { z } from "zod";
import {
  equipmentSampled,
  finishedGoodsConfirmed,
  materialConsumed,
  messageTypeOf,
  pickConfirmed,
  productionOrderReleased,
  samplingInterrupted,
  scheduleRevised,
  scrapReported,
  shortageReported,
} from "../../../protocol/index.ts";
import { type Gap, keys, type Recorded, type Sample } from "./evidence.ts";

const page = z.looseObject({
  messages: z.array(
    z.looseObject({ position: z.number(), site: z.string(), event: z.looseObject({ type: z.string(), data: z.unknown() }) }),
  ),
  next: z.number().nullable(),
});
type LedgerRow = z.infer<typeof page>["messages"][number];

export interface Held {
  readonly recorded: Recorded[];
  readonly samples: Sample[];
  readonly gaps: Gap[];
}

/** Reads central's ledger from its beginning, page by page, over the public API. @throws Error when central refuses or does not answer */
export async function readLedger(url: string, token: string): Promise<Held> {
  const held: Held = { recorded: [], samples: [], gaps: [] };
  /** Item names of the configuration to the press's own node names; only samples tell both. */
  const nodeOf = new Map<string, string>();
  const interrupted: LedgerRow[] = [];
  let after = 0;
  for (;;) {
    const answer = await fetch(new URL(`/v1/messages?after=${after}&limit=1000`, url), {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(60_000),
    });
    if (!answer.ok)
      throw new Error(`central answered ${answer.status} to GET /v1/messages: ${(await answer.text()).slice(0, 300)}`);
    const { messages, next } = page.parse(await answer.json());
    for (const row of messages) {
      if (row.event.type === samplingInterrupted.type) interrupted.push(row);
      else take(row, held, nodeOf);
    }
    if (next === null || messages.length === 0) break;
    after = next;
  }
  for (const row of interrupted) {
    const data = samplingInterrupted.data.parse(row.event.data);
    held.gaps.push({
      series: seriesOf(row.site, data.equipment, nodeOf.get(itemName(row.site, data.equipment, data.item)) ?? data.item),
      after: data.after,
      until: data.until,
    });
  }
  return held;
}

function take({ site, position, event }: LedgerRow, held: Held, nodeOf: Map<string, string>): void {
  const keep = (key: string, orderKey: string, fields: Record<string, string>): void => {
    held.recorded.push({ key, orderKey, fields, position });
  };
  switch (event.type) {
    case equipmentSampled.type: {
      const data = equipmentSampled.data.parse(event.data);
      const node = /(?:^|;)s=(.+)$/.exec(data.node ?? "")?.[1];
      if (node !== undefined) nodeOf.set(itemName(site, data.equipment, data.item), node);
      held.samples.push({
        series: seriesOf(site, data.equipment, node ?? data.item),
        at: data.sourceTimestamp,
        value: String(data.value),
      });
      return;
    }
    case productionOrderReleased.type: {
      const data = productionOrderReleased.data.parse(event.data);
      keep(keys.release(site, data.moId, data.revision), data.moId, {
        moId: data.moId,
        orderName: data.orderName,
        item: data.item,
        qty: data.quantity.value,
      });
      return;
    }
    case pickConfirmed.type: {
      const data = pickConfirmed.data.parse(event.data);
      keep(keys.pick(site, data.txnId, data.lineNo), data.moId, {
        ...amount(data, data.qtyPicked),
        sscc: data.sscc ?? "",
      });
      return;
    }
    case shortageReported.type: {
      const data = shortageReported.data.parse(event.data);
      keep(keys.shortage(site, data.shortageId), data.moId, amount(data, data.qtyShort));
      return;
    }
    case finishedGoodsConfirmed.type: {
      const data = finishedGoodsConfirmed.data.parse(event.data);
      keep(keys.finished(site, data.txnId), data.moId, { ...amount(data, data.goodQty), final: String(data.final) });
      return;
    }
    case materialConsumed.type: {
      const data = materialConsumed.data.parse(event.data);
      keep(keys.consumed(site, data.txnId, data.lineNo), data.moId, amount(data, data.qty));
      return;
    }
    case scrapReported.type: {
      const data = scrapReported.data.parse(event.data);
      keep(keys.scrap(site, data.txnId), data.moId, amount(data, data.qty));
      return;
    }
    case scheduleRevised.type: {
      const data = scheduleRevised.data.parse(event.data);
      const orders = [...data.entries].sort((a, b) => a.sequenceNo - b.sequenceNo).map(({ moId }) => moId);
      keep(keys.schedule(site, data.workCentre, data.revision), data.workCentre, { orders: orders.join(" ") });
      return;
    }
    default:
      // gateways' own accounts of deliveries; an unknown type is an error of central's
      messageTypeOf(event.type);
  }
}

function amount(
  data: { moId: string; item: string; lot?: string | undefined },
  of: { value: string; unitCode: string; srcValue?: string | undefined; srcUnit?: string | undefined },
): Record<string, string> {
  return { moId: data.moId, item: data.item, lot: data.lot ?? "", qty: of.value, unit: of.srcUnit ?? of.unitCode };
}

function itemName(site: string, equipment: string, item: string): string {
  return `${site}\n${equipment}\n${item}`;
}

/** The last part of an equipment's name is the device or press, whatever line or connector stands before it. */
function seriesOf(site: string, equipment: string, item: string): string {
  return `${site} ${equipment.split(/[/.]/).at(-1)} ${item}`;
}
