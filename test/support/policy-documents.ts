import type { SourceFile } from "../../protocol/index.ts";

const about = { owner: "platform@example.com", purpose: "test" };

/** One document as a file of its own. */
export function documentFile(document: object, name?: string): SourceFile {
  const { kind, metadata } = document as { kind: string; metadata: { name: string } };
  return { name: name ?? `${kind}-${metadata.name}.yaml`.toLowerCase(), text: JSON.stringify(document) };
}

export function policyFile(name: string, labels: Readonly<Record<string, string>>, spec: object): SourceFile {
  return documentFile({
    apiVersion: "plantgate/v1",
    kind: "Policy",
    metadata: { name, ...about },
    spec: { selector: { labels }, ...spec },
  });
}

export function siteFile(
  name: string,
  labels: Readonly<Record<string, string>>,
  spec: Readonly<Record<string, unknown>> = {},
): SourceFile {
  return documentFile({
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { name, ...about, labels },
    spec: { template: "plant", grants: { receive: ["production-order.released"] }, ...spec },
  });
}

/** A template of one flow that goes to a warehouse's broker and to a scheduler. */
export function templateFile({
  flow = {},
  parameters = {},
  toScheduler = {},
}: {
  readonly flow?: object;
  readonly parameters?: object;
  readonly toScheduler?: object;
} = {}): SourceFile {
  return documentFile({
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: { name: "plant", ...about },
    spec: {
      parameters: { wmsUrl: { type: "string", default: "mqtt://127.0.0.1:1883" }, ...parameters },
      connectors: {
        wms: { type: "mqtt", url: "${wmsUrl}", password: { secret: "wms" }, grants: { publish: ["wms/#"] } },
        scheduler: { type: "http", url: "http://127.0.0.1:8091", auth: { bearer: { secret: "scheduler" } } },
      },
      flows: {
        orders: {
          purpose: "orders out",
          from: { central: "production-order.released" },
          to: [
            { connector: "wms", topic: "wms/orders/{data.moId}" },
            { connector: "scheduler", post: "/orders", ...toScheduler },
          ],
          ...flow,
        },
      },
    },
  });
}
