import { expect, it } from "vitest";
import { validateDocuments } from "../../../protocol/index.ts";
import { plantDocuments } from "../../support/documents.ts";

/** The problems of a plant whose `orders` flow has these fields and whose destination has these. */
async function problemsOf(flow: Record<string, unknown>, to: Record<string, unknown> = {}, site: Record<string, unknown> = {}) {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const { flows } = documents[0]!.spec as unknown as { flows: { orders: { to: object[] } } };
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
