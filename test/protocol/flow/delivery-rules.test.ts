import { expect, it } from "vitest";
import { validateDocuments } from "../../../protocol/index.ts";
import { plantDocuments } from "../../support/documents.ts";

/** The problems of a plant whose `orders` flow has these fields and whose destination has these. */
async function problemsOf(
  flow: Record<string, unknown>,
  to: Record<string, unknown> = {},
  site: Record<string, unknown> = {},
  connectors: Record<string, unknown> = {},
) {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const { spec } = documents[0]!;
  const { flows, ...template } = spec as unknown as Record<"connectors" | "parameters", object> & {
    flows: { orders: { to: object[] } };
  };
  Object.assign(template.connectors, connectors);
  if ("presses" in connectors)
    Object.assign(template.parameters, { presses: { type: "array", of: { name: "string", endpoint: "uri" } } });
  Object.assign(flows.orders, flow);
  Object.assign(flows.orders.to[0]!, to);
  Object.assign(documents[1]!.spec, site);
  const files = documents.map((document) => ({ name: `${document.kind}.json`, text: JSON.stringify(document) }));
  return (await validateDocuments({ files })).problems.map(({ path, message }) => `${path}: ${message}`);
}

it("takes what a flow says of retries, order and deadlines", async () => {
  const rules = { order: "none", onExhausted: "park", retry: { attempts: 5, base: "1s", cap: "1m" } };
  expect(await problemsOf(rules, { expires: { after: "4h" } })).toEqual([]);
  expect(await problemsOf({}, { expires: { at: "data.needBy" } })).toEqual([]);
});

it("names what is wrong with them", async () => {
  expect(await problemsOf({ onExhausted: "drop" })).toEqual([expect.stringContaining("onExhausted")]);
  expect(await problemsOf({}, { expires: { after: "4h", at: "data.needBy" } })).toEqual([
    expect.stringContaining('"expires" has one of "after" and "at"'),
  ]);
  expect(await problemsOf({}, { expires: { at: "data.needBye" } })).toEqual([expect.stringContaining("needBye")]);
});

it("names a destination that a waiting delivery could not tell from another one of its flow", async () => {
  const post = { connector: "hooks", post: "/in" };
  const url = { hooks: { type: "http", url: "http://127.0.0.1:1" } };
  const twice = await problemsOf(
    {
      to: [
        { ...post, body: "data.moId" },
        { ...post, body: "data.item" },
      ],
    },
    {},
    {},
    url,
  );
  expect(twice).toEqual([expect.stringMatching(/^spec\.flows\.orders\.to\.1\.post: "hooks" gets "POST \/in" .* by to\.0/)]);
  expect(await problemsOf({ to: [post, { ...post, post: "/other" }] }, {}, {}, url)).toEqual([]);

  // a group beside one of its members
  const presses = {
    presses: {
      type: "opcua",
      forEach: "${presses}",
      endpoint: "${each.endpoint}",
      items: { order: { node: "nsu=urn:p;s=O", access: "write" } },
    },
  };
  const endpoint = "opc.tcp://127.0.0.1:1";
  const site = {
    parameters: {
      wmsUrl: "mqtt://127.0.0.1:1",
      presses: [
        { name: "p1", endpoint },
        { name: "p2", endpoint },
      ],
    },
  };
  const write = (connector: string) => ({ connector, write: "order", value: "data.moId" });
  expect(await problemsOf({ to: [write("presses"), write("presses.p2")] }, {}, site, presses)).toEqual([
    expect.stringMatching(/^spec\.flows\.orders\.to\.1\.write: "presses\.p2" gets "order" /),
  ]);
  expect(await problemsOf({ to: [write("presses")] }, {}, site, presses)).toEqual([]);
});

it("takes a site's budgets, and names what is wrong with them", async () => {
  const queue = { lanes: { telemetry: { maxBytes: "512MiB", maxAge: "7d", weight: 2 } }, encryption: { atRest: true } };
  expect(await problemsOf({}, {}, { queue })).toEqual([]);
  expect(await problemsOf({}, {}, { queue: { lanes: { telemetry: { maxBytes: "512 MB" } } } })).toEqual([
    expect.stringContaining("a size such as 64KiB, 512MiB or 2GiB"),
  ]);
  expect(await problemsOf({}, {}, { queue: { lanes: { transaction: { maxAge: "7d" } } } })).toEqual([
    expect.stringContaining("maxAge"),
  ]);
});
