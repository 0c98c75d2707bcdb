import { documentHistory, documentRevision, documentsAnswer, validateAnswer } from "../../../central/http/api/documents.ts";
import { type Asked, digest, ok, type Reply } from "./answers.ts";
import { ago } from "./fixtures.ts";

export const templateText = `apiVersion: plantgate/v1
kind: Template
metadata:
  name: assembly-plant
  owner: integration@example.com
  purpose: Orders out and facts back
spec:
  parameters:
    wmsUrl: { type: string, format: uri }
  connectors:
    wms:
      type: mqtt
      url: "\${wmsUrl}"
      grants: { subscribe: ["wms/#"], publish: ["wms/orders/#"] }
  flows:
    picks:
      purpose: Tell the ERP what was picked
      from: { connector: wms, topic: "wms/picks/+/confirmed" }
      split: payload.lines
      as: pick.confirmed
      map: '{ "moId": payload.mo, "item": line.sku, "qtyPicked": $quantity(line.qty, line.uom) }'
      key: data.moId
      to: [{ central: true }]
`;
export const changedText = templateText
  .replace("qtyPicked", 'lot": line.lot, "qtyPicked')
  .replace("      key: data.moId\n", "      key: data.moId\n      retry: { attempts: 40, base: 1s }\n");

export function answerDocuments({ world, path, parts, body }: Asked): Reply | undefined {
  const [first, second, third, fourth] = parts;
  if (path === "/v1/validate") {
    const files = (body as { files: { text: string }[] }).files;
    return ok(validateAnswer, { problems: files.flatMap(({ text }) => world.judge(text)) });
  }
  if (path === "/v1/documents") {
    return ok(documentsAnswer, {
      documents: histories.map((document) => ({ ...document, changedAt: ago(5_000_000), changedBy: "mira" })),
    });
  }
  if (first === "documents" && second && third) {
    const found = histories.find(({ kind, name }) => kind === second && name === third);
    if (!found) return undefined;
    if (fourth === "revisions") {
      const revision = Number(parts[4]);
      const text =
        found.kind === "Template"
          ? revision >= 8
            ? changedText
            : templateText
          : `apiVersion: plantgate/v1\nkind: ${found.kind}\nmetadata: { name: ${found.name}, owner: ${found.owner}, purpose: ${found.purpose} }\nspec: {}\n`;
      const attachments = found.kind === "Template" ? { "examples/two-lots.json": '{ "mo": "WH/MO/00042", "lines": [] }\n' } : {};
      return ok(documentRevision, {
        ...found,
        revision,
        digest,
        text,
        attachments,
        createdAt: ago(5_000_000),
        createdBy: "mira",
        change: 12,
      });
    }
    const revisions = Array.from({ length: found.revision }, (_, index) => ({
      revision: index + 1,
      digest,
      createdAt: ago((found.revision - index) * 90_000_000),
      createdBy: index % 2 ? "mira" : "ana",
      change: index + 4,
    }));
    return ok(documentHistory, { ...found, changedAt: ago(5_000_000), changedBy: "mira", revisions });
  }
  return undefined;
}

const histories = [
  {
    kind: "Template",
    name: "assembly-plant",
    owner: "integration@example.com",
    purpose: "Orders out and facts back",
    labels: {},
    revision: 8,
    environments: { dev: 8, test: 8, prod: 7 },
  },
  {
    kind: "Template",
    name: "odoo-hq",
    owner: "erp@example.com",
    purpose: "The ERP's side of every plant",
    labels: {},
    revision: 3,
    environments: { test: 3, prod: 3 },
  },
  {
    kind: "Site",
    name: "lyon",
    owner: "integration@example.com",
    purpose: "Housings and pumps",
    labels: { environment: "prod", region: "eu" },
    revision: 4,
    environments: { prod: 4 },
  },
  {
    kind: "Policy",
    name: "prod-retention",
    owner: "operations@example.com",
    purpose: "How long messages are kept in production",
    labels: {},
    revision: 2,
    environments: { prod: 2 },
  },
  {
    kind: "Secret",
    name: "wms",
    owner: "integration@example.com",
    purpose: "The gateway's account at the WMS",
    labels: {},
    revision: 1,
    environments: {},
  },
] as const;
