/** Where the plant's warehouse posts what is missing: the gateway's own listener. */
export const webhookUrl = "http://127.0.0.1:8430/in/hooks/shortages";

const metadata = (name: string, purpose: string) => ({ name, owner: "integration@example.com", purpose });

/** Message n, as the warehouse says it. */
export function payloadOf(n: number): string {
  const at = "2026-11-24T08:00:00.000Z";
  return JSON.stringify({
    txn: `S-${n}`,
    order: "MO-1",
    sku: "RM-ALU-0815",
    short: "2.5",
    uom: "KGM",
    cause: "bin was empty",
    at,
  });
}

/** A template with one webhook, and the site's own document; JSON is YAML. */
export function plantFiles(site: string): { name: string; text: string }[] {
  const template = {
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: metadata("warehouse", "What is missing in the warehouse"),
    spec: {
      connectors: { hooks: { type: "http" } },
      flows: {
        shortages: {
          purpose: "What is missing",
          from: { connector: "hooks", webhook: "/shortages" },
          as: "shortage.reported",
          // an answer that is lost with the machine makes it post once more
          idempotencyKey: ["payload.txn"],
          map: '{ "shortageId": payload.txn, "moId": payload.order, "item": payload.sku, "qtyShort": $quantity(payload.short, payload.uom), "cause": payload.cause, "reportedAt": payload.at }',
          to: [{ central: true }],
        },
      },
    },
  };
  const document = {
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { ...metadata(site, "A plant"), labels: { environment: "dev" } },
    spec: { template: "warehouse", timeZone: "UTC", grants: { send: ["shortage.reported"], receive: [] } },
  };
  return [
    { name: "template.json", text: JSON.stringify(template) },
    { name: "site.json", text: JSON.stringify(document) },
  ];
}
