import type { Document } from "../../../protocol/index.ts";
import { site } from "./lines.ts";

const metadata = (name: string, purpose: string) => ({ name, owner: "bench@example.com", purpose });

export const loadUser = { name: "load", secret: "load", password: "bench-password" } as const;

/** One flow of samples and one of business messages, each with the ways in that are asked for; everything goes to central. */
export function plantDocuments(ways: { readonly floorPort?: number; readonly plantUrl?: string }): Document[] {
  const { floorPort, plantUrl } = ways;
  const connectors = {
    hooks: { type: "http" },
    ...(floorPort === undefined
      ? {}
      : {
          floor: {
            type: "mqtt-broker",
            port: floorPort,
            users: [{ username: loadUser.name, password: { secret: loadUser.secret }, publish: ["bench/#"] }],
            grants: { subscribe: ["bench/#"] },
          },
        }),
    ...(plantUrl === undefined ? {} : { plant: { type: "mqtt", url: plantUrl, grants: { subscribe: ["bench/#"] } } }),
  };
  const topics = Object.keys(connectors).filter((name) => name !== "hooks");
  const from = (what: string): object[] => [
    ...topics.map((connector) => ({ connector, topic: `bench/+/${what}` })),
    { connector: "hooks", webhook: `/${what}` },
  ];
  const template = {
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: metadata("bench-plant", "What the bench sends"),
    spec: {
      parameters: {},
      codes: {},
      connectors,
      flows: {
        samples: {
          purpose: "Samples of devices",
          from: from("samples"),
          as: "equipment.sampled",
          map: {
            equipment: "payload.equipment",
            item: "payload.item",
            value: "payload.value",
            unitCode: "payload.unit",
            quality: "'good'",
            sourceTimestamp: "payload.at",
          },
          to: [{ central: true }],
        },
        picks: {
          purpose: "What the warehouse picked",
          from: from("picks"),
          as: "pick.confirmed",
          map: `{
            "txnId": payload.txn, "taskId": payload.task, "moId": payload.order, "lineNo": payload.no, "item": payload.sku,
            "lot": payload.lot, "fromBin": payload.from, "toSupplyArea": payload.to, "qtyPicked": $quantity(payload.qty, payload.uom),
            "operator": payload.operator, "pickedAt": payload.at
          }`,
          key: "data.moId",
          idempotencyKey: ["payload.txn"],
          to: [{ central: true }],
        },
      },
    },
  };
  const plant = {
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { ...metadata(site, "A plant under load"), labels: { environment: "dev" } },
    spec: {
      template: "bench-plant",
      timeZone: "Europe/Paris",
      grants: { send: ["equipment.sampled", "pick.confirmed"] },
    },
  };
  return [template, plant] as unknown as Document[];
}
