import type { Document } from "../../protocol/index.ts";

export interface PickPlantOptions {
  readonly site?: string;
  readonly wmsUrl: string;
  readonly erpUrl: string;
  /** Instead of {@link pickFields}. */
  readonly map?: string;
  /** More flows, or others of the same name. */
  readonly flows?: Readonly<Record<string, object>>;
  readonly encrypted?: boolean;
}

/** What a plain pick is mapped with. */
export const pickFields = {
  txnId: "payload.txn",
  taskId: "payload.task",
  moId: "payload.order",
  lineNo: "payload.line",
  item: "payload.sku",
  lot: "payload.lot",
  qtyPicked: "$quantity(payload.qty, payload.uom)",
  pickedAt: "payload.at",
} as const;

export function mapOf(fields: Readonly<Record<string, string>>): string {
  return `{ ${Object.entries(fields)
    .map(([field, expression]) => `"${field}": ${expression}`)
    .join(", ")} }`;
}

/** One flow from a warehouse's topics: to central, back over the broker, and to an ERP by HTTP. */
export function pickFlow(map: string): Record<string, unknown> {
  return {
    purpose: "What was picked",
    from: { connector: "wms", topic: "wms/picks/+" },
    as: "pick.confirmed",
    map,
    to: [
      { central: true },
      { connector: "wms", topic: "echo/picks/{data.taskId}", body: '{ "task": data.taskId, "qty": data.qtyPicked.value }' },
      { connector: "erp", post: "/picks" },
    ],
  };
}

export function pickPlant({
  site = "lyon",
  wmsUrl,
  erpUrl,
  map = mapOf(pickFields),
  flows = {},
  encrypted,
}: PickPlantOptions): Document[] {
  const metadata = { owner: "integration@example.com", purpose: "A plant that picks" };
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: { name: "pick-plant", ...metadata },
      spec: {
        parameters: { wmsUrl: { type: "string", format: "uri" }, erpUrl: { type: "string", format: "uri" } },
        codes: {},
        connectors: {
          wms: { type: "mqtt", url: "${wmsUrl}", grants: { subscribe: ["wms/#"], publish: ["echo/#"] } },
          erp: { type: "http", url: "${erpUrl}" },
        },
        flows: { picks: pickFlow(map), ...flows },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: { name: site, ...metadata, labels: { environment: "dev" } },
      spec: {
        template: "pick-plant",
        timeZone: "UTC",
        parameters: { wmsUrl, erpUrl },
        grants: { send: ["pick.confirmed"], receive: ["production-order.released"] },
        ...(encrypted ? { queue: { encryption: { atRest: true } } } : {}),
      },
    } as Document,
  ];
}

export interface Pick {
  readonly txn: string;
  readonly task: string;
  readonly order: string;
  readonly line: number;
  readonly sku: string;
  readonly lot: string;
  readonly qty: number;
  readonly uom: string;
  readonly at: string;
  readonly sscc?: string;
}

export function pick(number: number, more: Partial<Pick> = {}): Pick {
  return {
    txn: `T-${number}`,
    task: `PK-${number % 10}`,
    order: `MO-${number % 25}`,
    line: 1,
    sku: "RM-ALU",
    lot: `L${number}`,
    qty: number,
    uom: "KGM",
    at: "2026-11-27T08:00:00.000Z",
    ...more,
  };
}
