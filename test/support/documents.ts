import type { Document } from "../../protocol/index.ts";

const owner = "integration@example.com";
const metadata = (name: string, purpose: string, labels?: Record<string, string>) => ({
  name,
  owner,
  purpose,
  ...(labels ? { labels } : {}),
});

export const pickMap = `{
  "txnId": payload.txn, "taskId": payload.task, "moId": payload.order, "lineNo": line.no, "item": line.sku, "lot": line.lot,
  "fromBin": line.from, "toSupplyArea": line.to, "qtyPicked": $quantity(line.qty, line.uom), "sscc": line.sscc,
  "operator": payload.operator, "pickedAt": payload.at
}`;

const finishedMap = `{
  "txnId": payload.txn, "moId": payload.order, "item": payload.item, "lot": payload.lot, "goodQty": $quantity(payload.good, payload.uom),
  "final": payload.final, "workUnit": topic[1], "confirmedAt": payload.at,
  "genealogy": payload.consumed.{"lineNo": no, "item": item, "lot": lot, "qty": $quantity(qty, uom)}
}`;

const orderBody = `{
  "order": data.moId, "name": data.orderName, "item": data.item, "qty": data.quantity.value, "uom": data.quantity.unitCode,
  "revision": data.revision, "priority": data.priority, "needBy": data.needBy,
  "lines": data.components.{"no": lineNo, "item": item, "qty": quantity.value, "uom": quantity.unitCode, "op": operation}[]
}`;

/** A small plant: a WMS on its own broker, terminals on the embedded one, a webhook. */
export function plantDocuments(options: { site: string; wmsUrl: string; map?: string; floorPort?: number }): Document[] {
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: metadata("small-plant", "Orders out and facts back"),
      spec: {
        parameters: { wmsUrl: { type: "string", format: "uri" } },
        codes: {},
        connectors: {
          wms: { type: "mqtt", url: "${wmsUrl}", grants: { subscribe: ["wms/#"], publish: ["wms/orders/#"] } },
          floor: {
            type: "mqtt-broker",
            port: options.floorPort ?? 0,
            users: [{ username: "terminal", password: { secret: "terminal" }, publish: ["floor/#"] }],
            grants: { subscribe: ["floor/#"] },
          },
          hooks: { type: "http" },
        },
        flows: {
          picks: {
            purpose: "Tell the ERP what was picked",
            from: { connector: "wms", topic: "wms/picks/+/confirmed" },
            split: "payload.lines",
            as: "pick.confirmed",
            map: options.map ?? pickMap,
            to: [{ central: true }],
          },
          finished: {
            purpose: "Good quantity",
            from: { connector: "floor", topic: "floor/+/finished" },
            as: "finished-goods.confirmed",
            map: finishedMap,
            to: [{ central: true }],
          },
          shortages: {
            purpose: "What is missing",
            from: { connector: "hooks", webhook: "/shortages" },
            as: "shortage.reported",
            map: '{ "shortageId": payload.txn, "moId": payload.order, "item": payload.sku, "qtyShort": $quantity(payload.short, payload.uom), "cause": payload.cause, "reportedAt": payload.at }',
            to: [{ central: true }],
          },
          orders: {
            purpose: "Released orders to the warehouse",
            from: { central: "production-order.released" },
            to: [
              {
                connector: "wms",
                topic: "wms/orders/{data.moId}",
                body: orderBody,
                accepted: {
                  topic: "wms/orders/+/ack",
                  match: ["payload.order", "payload.revision"],
                  equals: ["data.moId", "data.revision"],
                  within: "60s",
                },
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: metadata(options.site, "A plant", { environment: "dev" }),
      spec: {
        template: "small-plant",
        timeZone: "Europe/Paris",
        parameters: { wmsUrl: options.wmsUrl },
        grants: {
          send: ["pick.confirmed", "finished-goods.confirmed", "shortage.reported"],
          receive: ["production-order.released"],
        },
      },
    },
  ];
}

/** The other side: an ERP behind HTTP that releases orders over a webhook and takes picks. */
export function erpDocuments(options: { erpUrl: string }): Document[] {
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: metadata("small-erp", "The ERP's side"),
      spec: {
        parameters: { erpUrl: { type: "string", format: "uri" } },
        codes: { "erp.warehouse": { LYO: "lyon", POR: "porto" } },
        connectors: { erp: { type: "http", url: "${erpUrl}" } },
        flows: {
          release: {
            purpose: "Orders to their plant",
            from: { connector: "erp", webhook: "/orders" },
            as: "production-order.released",
            map: "payload",
            to: [{ site: '$site("erp.warehouse", data.warehouse)', noSite: "exception" }],
          },
          picks: { purpose: "Book picks", from: { central: "pick.confirmed" }, to: [{ connector: "erp", post: "/picks" }] },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: metadata("hq", "The ERP", { environment: "dev" }),
      spec: {
        template: "small-erp",
        timeZone: "UTC",
        parameters: { erpUrl: options.erpUrl },
        grants: {
          send: ["production-order.released"],
          receive: ["pick.confirmed", "finished-goods.confirmed", "shortage.reported"],
        },
      },
    },
  ] as Document[];
}

/** A pick as the WMS says it; the SSCC is a JSON number of 18 digits. */
export function pickPayload(options: { txn: string; order?: string; lines?: number; qty?: string; uom?: string }): string {
  const lines = Array.from(
    { length: options.lines ?? 1 },
    (_, index) =>
      `{"no":${index + 1},"sku":"RM-ALU","lot":"L-2291","qty":"${options.qty ?? "12.5"}","uom":"${options.uom ?? "KGM"}","from":"BIN-04-2","to":"LINE-1","sscc":340123450000000018}`,
  );
  return `{"txn":"${options.txn}","task":"PK-7","order":"${options.order ?? "hq-mo-42"}","operator":"u17","at":"2026-11-24T08:00:00.000Z","lines":[${lines.join(",")}]}`;
}

/** A shortage as the terminal says it. */
export function shortagePayload(txn: string): string {
  return JSON.stringify({
    txn,
    order: "hq-mo-42",
    sku: "RM-ALU",
    short: "2.5",
    uom: "KGM",
    cause: "empty-bin",
    at: "2026-11-24T08:00:00.000Z",
  });
}

export function orderPayload(options: { id: number; warehouse?: string; revision?: number }): Record<string, unknown> {
  return {
    moId: `hq-mo-${options.id}`,
    orderName: `WH/MO/${String(options.id).padStart(5, "0")}`,
    revision: options.revision ?? 1,
    item: "FG-HSG",
    quantity: { value: "100", unitCode: "C62", scale: 0 },
    warehouse: options.warehouse ?? "LYO",
    priority: 1,
    components: [{ lineNo: 1, item: "RM-ALU", quantity: { value: "12.5", unitCode: "KGM", scale: 1 }, operation: 10 }],
    operations: [{ seq: 10, workCentre: "PRESS-7", minutes: 30 }],
  };
}

export function itemPayload(options: { itemId: string; revision?: number }): Record<string, unknown> {
  return {
    itemId: options.itemId,
    revision: options.revision ?? 1,
    code: options.itemId,
    name: "Aluminium alloy, ingots",
    baseUnit: "KGM",
    conversions: [{ lineNo: 1, unitCode: "BX", numerator: 25, denominator: 2 }],
    tracking: "lot",
    status: "active",
  };
}
