/** Ways into the plant of a fault run: terminals and devices on the embedded broker, a webhook; and one way out, to an HTTP receiver. */
export const floorUser = { username: "floor", secret: "floor", password: "floor-password" } as const;
export const webhookPath = "/in/hooks/shortages";

const metadata = (name: string, purpose: string) => ({ name, owner: "integration@example.com", purpose });

/** Documents of one site, as `plantgate push` takes them; JSON is YAML. */
export function plantFiles(options: {
  site: string;
  floorPort: number;
  /** Where orders that central routes here are delivered; none: no such flow. */
  receiverUrl?: string;
  /** `spec.queue` of the site: budgets per lane. */
  queue?: unknown;
}): { name: string; text: string }[] {
  const { site, floorPort, receiverUrl, queue } = options;
  const central = [{ central: true }];
  const template = {
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: metadata("fault-plant", "Everything that a fault run sends"),
    spec: {
      connectors: {
        floor: {
          type: "mqtt-broker",
          port: floorPort,
          users: [{ username: floorUser.username, password: { secret: floorUser.secret }, publish: ["floor/#"] }],
          grants: { subscribe: ["floor/#"] },
        },
        hooks: { type: "http" },
        ...(receiverUrl === undefined ? {} : { receiver: { type: "http", url: receiverUrl } }),
      },
      flows: {
        finished: {
          purpose: "Good quantity",
          from: { connector: "floor", topic: "floor/+/finished" },
          as: "finished-goods.confirmed",
          map: '{ "txnId": payload.txn, "moId": payload.order, "item": payload.item, "lot": payload.lot, "goodQty": $quantity(payload.good, payload.uom), "final": payload.final, "genealogy": [], "confirmedAt": payload.at }',
          to: central,
        },
        shortages: {
          purpose: "What is missing",
          from: { connector: "hooks", webhook: "/shortages" },
          as: "shortage.reported",
          map: '{ "shortageId": payload.txn, "moId": payload.order, "item": payload.sku, "qtyShort": $quantity(payload.short, payload.uom), "cause": payload.cause, "reportedAt": payload.at }',
          to: central,
        },
        samples: {
          purpose: "Trends",
          from: { connector: "floor", topic: "floor/+/+/sample" },
          as: "equipment.sampled",
          map: {
            equipment: 'topic[1] & "/" & topic[2]',
            item: "payload.item",
            value: "payload.value",
            unitCode: "payload.unit",
            quality: "'good'",
            sourceTimestamp: "payload.at",
          },
          to: central,
        },
        ...(receiverUrl === undefined
          ? {}
          : {
              orders: {
                purpose: "Orders to the line",
                from: { central: "production-order.released" },
                to: [{ connector: "receiver", post: "/orders" }],
              },
            }),
      },
    },
  };
  const document = {
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { ...metadata(site, "A plant under fault"), labels: { environment: "dev" } },
    spec: {
      template: "fault-plant",
      timeZone: "UTC",
      grants: {
        send: ["finished-goods.confirmed", "shortage.reported", "equipment.sampled"],
        receive: receiverUrl === undefined ? [] : ["production-order.released"],
      },
      ...(queue === undefined ? {} : { queue }),
    },
  };
  return [
    { name: "template.json", text: JSON.stringify(template) },
    { name: "site.json", text: JSON.stringify(document) },
  ];
}
