/** What of the plant's configuration a seed may have otherwise. */
export interface Plan {
  /** Of its flow. */
  readonly purpose: string;
  readonly wmsUrl: string;
  readonly schedulerUrl: string;
  readonly pressEndpoint: string;
  readonly pressSecurity: string;
  readonly pressPolicy: string;
  readonly pressNode: string;
  readonly erpUrl: string;
  readonly floorPort: number;
  /** Of each lane. */
  readonly budget: string | undefined;
  readonly extraSecret: string | undefined;
  /** Nothing is taken back meanwhile. */
  readonly watch: string;
}

/** One connector of each kind, and flows that have them all at work. */
export function documents(plan: Plan): readonly object[] {
  const metadata = { owner: "integration@example.com" };
  const {
    purpose,
    wmsUrl,
    schedulerUrl,
    pressEndpoint,
    pressSecurity,
    pressPolicy,
    pressNode,
    erpUrl,
    floorPort,
    budget,
    extraSecret,
    watch,
  } = plan;
  const security = pressSecurity === "None" ? {} : { security: { mode: pressSecurity, policy: pressPolicy } };
  const users = [{ username: "terminal", password: { secret: "terminal" }, publish: ["floor/#"] }];
  if (extraSecret !== undefined) users.push({ username: "extra", password: { secret: extraSecret }, publish: ["extra/#"] });
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: { ...metadata, name: "small", purpose: "A small plant" },
      spec: {
        connectors: {
          wms: { type: "mqtt", url: wmsUrl, grants: { subscribe: ["wms/#"] } },
          floor: { type: "mqtt-broker", port: floorPort, users, grants: { subscribe: ["floor/#"] } },
          scheduler: {
            ...{ type: "http", url: schedulerUrl, auth: { bearer: { secret: "scheduler" } }, timeout: "2s" },
            health: { path: "/health", every: "1s" },
          },
          press: { type: "opcua", endpoint: pressEndpoint, ...security, items: { strokes: { node: pressNode } } },
          erp: {
            ...{ type: "odoo", url: erpUrl, database: "plant", apiKey: { secret: "erp" }, warehouses: ["LYO"] },
            ...{ units: { kg: "KGM" }, every: "1s" },
          },
        },
        flows: {
          shortages: {
            purpose,
            from: { connector: "wms", topic: "wms/shortages/+" },
            as: "shortage.reported",
            map: '{ "shortageId": payload.txn, "moId": payload.order, "item": payload.sku, "qtyShort": $quantity(payload.short, payload.uom), "cause": payload.cause, "reportedAt": payload.at }',
            to: [{ central: true }],
          },
          samples: {
            purpose: "Trends",
            from: { connector: "press", items: ["strokes"] },
            as: "equipment.sampled",
            to: [{ central: true }],
          },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: { ...metadata, name: "lyon", purpose: "A plant", labels: { environment: "dev" } },
      spec: { template: "small", grants: { send: ["shortage.reported", "equipment.sampled"] } },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Policy",
      metadata: { ...metadata, name: "all", purpose: "How much may wait; and nothing is taken back while it is looked at" },
      spec: {
        selector: { labels: { environment: "dev" } },
        watch: { for: watch },
        ...(budget === undefined
          ? {}
          : {
              queue: {
                lanes: Object.fromEntries(["transaction", "bulk", "telemetry"].map((lane) => [lane, { maxBytes: budget }])),
              },
            }),
      },
    },
  ];
}
