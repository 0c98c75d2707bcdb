/** Documents of a small site of dev, where they may be pushed, as YAML: `send` and `receive` by short name, `consumes` by flows of its own to a topic. */
export function siteDocuments(options: {
  site: string;
  send?: readonly string[];
  receive?: readonly string[];
  consumes?: readonly { type: string; sites?: string; mode?: string }[];
  labels?: Readonly<Record<string, string>>;
}): { name: string; text: string }[] {
  const { site, send = [], receive = [], consumes = [], labels = {} } = options;
  const template = {
    apiVersion: "plantgate/v1",
    kind: "Template",
    metadata: { name: `${site}-template`, owner: "integration", purpose: "test" },
    spec: {
      connectors: { broker: { type: "mqtt", url: "mqtt://127.0.0.1:1883", grants: { subscribe: ["in/#"], publish: ["out/#"] } } },
      flows: Object.fromEntries(
        consumes.map(({ type, sites, mode = "live" }, index) => [
          `take-${index}`,
          {
            purpose: "takes what central routes",
            mode,
            from: { central: type, ...(sites === undefined ? {} : { sites }) },
            to: [{ connector: "broker", topic: `out/${index}` }],
          },
        ]),
      ),
    },
  };
  const document = {
    apiVersion: "plantgate/v1",
    kind: "Site",
    metadata: { name: site, owner: "integration", purpose: "test", labels: { environment: "dev", ...labels } },
    spec: { template: `${site}-template`, grants: { send, receive } },
  };
  // JSON is YAML
  return [
    { name: "template.yaml", text: JSON.stringify(template) },
    { name: "site.yaml", text: JSON.stringify(document) },
  ];
}
