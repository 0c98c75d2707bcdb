import type { CloudEvent } from "../../protocol/index.ts";

interface Amount {
  readonly value: string;
  readonly unitCode: string;
}

/** One message about an order as a sentence for a person; what a type says is read from its validated data. */
export function summarize(event: CloudEvent): string {
  const write = sentences[event.type];
  return write ? write(event.data) : event.type.replace(/^mfg\./, "").replace(/\.v\d+$/, "");
}

type Values = CloudEvent["data"];

const sentences: Readonly<Record<string, (data: Values) => string>> = {
  "mfg.production-order.released.v1": (data) => `Released: ${amount(data.quantity)} of ${data.item}, revision ${data.revision}`,
  "mfg.pick.confirmed.v1": (data) => `Picked ${amount(data.qtyPicked)} ${data.item}${lot(data)}`,
  "mfg.shortage.reported.v1": (data) => `Short of ${amount(data.qtyShort)} ${data.item}: ${data.cause}`,
  "mfg.material.consumed.v1": (data) => `${reversal(data)}Consumed ${amount(data.qty)} ${data.item}${lot(data)}`,
  "mfg.finished-goods.confirmed.v1": (data) =>
    `${reversal(data)}Made ${amount(data.goodQty)} ${data.item}${lot(data)}${data.final === true ? ", the last of this order" : ""}`,
  "mfg.scrap.reported.v1": (data) =>
    `Scrapped ${amount(data.qty)} ${data.item}${lot(data)}: ${(data.reason as { code: string }).code}`,
  "mfg.schedule.revised.v1": (data) => `Planned on ${data.workCentre}, schedule ${data.scheduleId} revision ${data.revision}`,
};

function amount(quantity: unknown): string {
  const { value, unitCode } = quantity as Amount;
  return `${value} ${unitCode}`;
}
function lot(data: Values): string {
  return data.lot === undefined ? "" : `, lot ${data.lot}`;
}
function reversal(data: Values): string {
  return data.reversalOf === undefined ? "" : "Reversal: ";
}
