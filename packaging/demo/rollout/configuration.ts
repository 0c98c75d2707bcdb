import { stringify } from "yaml";

/** A document as it is written in a change. */
export interface DocumentText {
  readonly name: string;
  readonly text: string;
}

/** The environment of the fleet: one where a second person reads each change. */
export const environment = "test";
export const terminalSecret = "of-the-terminals";
export const topic = "line/finished";

/**
 * What the lot and the quantity of a report are taken from. `second` knows reports without a lot; `bad` takes the quantity from where no terminal
 * puts it, so that every report that used to pass becomes a dead letter. No example shows that: nobody wrote one.
 */
const mappings = {
  first: { lot: "payload.lot", quantity: "payload.good" },
  second: { lot: 'payload.lot ? payload.lot : "none"', quantity: "payload.good" },
  bad: { lot: 'payload.lot ? payload.lot : "none"', quantity: "payload.pieces.good" },
} as const;
export type Version = keyof typeof mappings;

export function template(version: Version): DocumentText {
  const { lot, quantity } = mappings[version];
  return document("line.yaml", "Template", "line", {
    parameters: { floorPort: { type: "integer", purpose: "Port on which terminals reach the gateway" } },
    connectors: {
      floor: {
        type: "mqtt-broker",
        port: "${floorPort}",
        users: [{ username: "terminal", password: { secret: "terminal" }, publish: [topic] }],
        grants: { subscribe: [topic] },
      },
    },
    flows: {
      finished: {
        purpose: "Good pieces as the terminal reports them",
        from: { connector: "floor", topic },
        as: "finished-goods.confirmed",
        map: [
          "{",
          '  "txnId": payload.txn, "moId": payload.order, "item": payload.item,',
          `  "lot": ${lot}, "goodQty": $quantity(${quantity}, payload.uom),`,
          '  "final": false, "workUnit": "LINE", "genealogy": [], "confirmedAt": $instant(payload.at)',
          "}",
        ].join("\n"),
        key: "data.moId",
        idempotencyKey: ["payload.txn"],
        to: [{ central: true }],
      },
    },
  });
}

/** Of the fleet: a gateway watches a change by itself for a few seconds only, so that the demo takes minutes. */
export function policy(): DocumentText {
  return document("fleet.yaml", "Policy", "fleet", { selector: { labels: { environment } }, watch: { for: "5s" } });
}

export function siteDocument(site: string, floorPort: number): DocumentText {
  const spec = { template: "line", parameters: { floorPort }, grants: { send: ["finished-goods.confirmed"], receive: [] } };
  return document(`${site}.yaml`, "Site", site, spec, { environment });
}

/** The headquarters take what the lines report. It has no gateway here: its messages wait at central. */
export function headquarters(): readonly DocumentText[] {
  const taker = document("hq-template.yaml", "Template", "headquarters", {
    connectors: { erp: { type: "http", url: "http://127.0.0.1:9" } },
    flows: {
      finished: {
        purpose: "Books good pieces",
        from: { central: "finished-goods.confirmed" },
        to: [{ connector: "erp", post: "/finished" }],
      },
    },
  });
  const spec = { template: "headquarters", grants: { send: [], receive: ["finished-goods.confirmed"] } };
  return [taker, document("hq.yaml", "Site", "hq", spec, { environment: "dev" })];
}

function document(file: string, kind: string, name: string, spec: object, labels?: Record<string, string>): DocumentText {
  const metadata = { name, owner: "lines@example.com", purpose: `The demo's ${name}`, ...(labels ? { labels } : {}) };
  return { name: file, text: stringify({ apiVersion: "plantgate/v1", kind, metadata, spec }) };
}
