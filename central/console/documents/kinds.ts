import type { DocumentKind } from "../../http/api/common.ts";

/** The kinds of documents, in the order in which people think of them. */
export const kinds: readonly DocumentKind[] = ["Template", "Site", "Policy", "Secret"];

export const kindWords: Readonly<Record<DocumentKind, string>> = {
  Template: "connectors and flows that many sites share",
  Site: "one site: its template, labels and parameters",
  Policy: "retention, retries, limits; for the sites that its labels select",
  Secret: "that a secret exists, who owns it and how often it is rotated; never its value",
};

/** What a new document begins with: enough to see the shape, and every place marked where something is to be said. */
export const skeletons: Readonly<Record<DocumentKind, string>> = {
  Template: `apiVersion: plantgate/v1
kind: Template
metadata:
  name: new-template
  owner: integration@example.com
  purpose: What it is for
spec:
  parameters:
    wmsUrl: { type: string, format: uri }
  connectors:
    wms:
      type: mqtt
      url: "\${wmsUrl}"
      grants: { subscribe: ["wms/#"] }
  flows:
    picks:
      purpose: Tell the ERP what was picked
      from: { connector: wms, topic: "wms/picks/+/confirmed" }
      as: pick.confirmed
      map: payload
      to: [{ central: true }]
`,
  Site: `apiVersion: plantgate/v1
kind: Site
metadata:
  name: new-site
  owner: integration@example.com
  purpose: Where it is and what it makes
  labels: { environment: dev, region: eu }
spec:
  template: new-template
  timeZone: Europe/Paris
  parameters:
    wmsUrl: mqtt://127.0.0.1:1883
  grants:
    send: [pick.confirmed]
    receive: []
`,
  Policy: `apiVersion: plantgate/v1
kind: Policy
metadata:
  name: new-policy
  owner: operations@example.com
  purpose: What it holds for whom
spec:
  selector: { labels: { environment: dev } }
  logLevel: info
`,
  Secret: `apiVersion: plantgate/v1
kind: Secret
metadata:
  name: new-secret
  owner: integration@example.com
  purpose: What it opens
spec:
  rotate: { every: 90d }
`,
};
