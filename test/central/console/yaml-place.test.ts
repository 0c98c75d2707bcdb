import { expect, it } from "vitest";
import { yamlPlace } from "../../../central/console/documents/yaml-place.ts";

/** The place of the bar. */
function at(marked: string) {
  const offset = marked.indexOf("|");
  const place = yamlPlace(marked.replace("|", ""), offset);
  return place && { path: place.path.join("."), writes: place.writes, siblings: place.siblings, kind: place.top.kind };
}

it("knows the mapping in which a key is begun", () => {
  expect(at("kind: Template\nme|")).toMatchObject({ path: "", writes: "key", kind: "Template" });
  expect(at("metadata:\n  name: x\n  ow|")).toMatchObject({ path: "metadata", writes: "key", siblings: { name: "x" } });
  expect(at("spec:\n  flows:\n    picks:\n      |")).toMatchObject({ path: "spec.flows.picks", writes: "key" });
});

it("takes an empty line's column for what it says", () => {
  const text = "spec:\n  flows:\n    picks:\n      purpose: x\n";
  expect(at(`${text}      |`)).toMatchObject({ path: "spec.flows.picks" });
  expect(at(`${text}    |`)).toMatchObject({ path: "spec.flows" });
  expect(at(`${text}  |`)).toMatchObject({ path: "spec" });
  expect(at(`${text}|`)).toMatchObject({ path: "" });
});

it("knows the key of the value that is written", () => {
  expect(at("spec:\n  connectors:\n    wms:\n      type: |")).toMatchObject({
    path: "spec.connectors.wms.type",
    writes: "value",
  });
  expect(at("spec:\n  connectors:\n    wms:\n      type: mq|\n      url: x")).toMatchObject({
    path: "spec.connectors.wms.type",
    siblings: { url: "x" },
  });
});

it("goes into lists", () => {
  const flows = "to:\n  - connector: wms\n    to|";
  expect(at(flows)).toMatchObject({ path: "to.-", writes: "key", siblings: { connector: "wms" } });
  expect(at("to:\n  - connector: wms\n  - ce|")).toMatchObject({ path: "to.-", writes: "key" });
  expect(at("to:\n- connector: wms\n  topic: x\n- ce|")).toMatchObject({ path: "to.-", writes: "key" });
  expect(at("to:\n- connector: wms\nne|")).toMatchObject({ path: "", writes: "key" });
});

it("goes into braces and brackets, also over lines", () => {
  expect(at("wms: { type: mqtt, gr| }")).toMatchObject({ path: "wms", writes: "key", siblings: { type: "mqtt" } });
  expect(at("wms: { type: | }")).toMatchObject({ path: "wms.type", writes: "value" });
  expect(at("wms: { type: mqtt,\n       grants: { sub| } }")).toMatchObject({ path: "wms.grants", writes: "key" });
  expect(at("to: [{ central: true }, { con| }]")).toMatchObject({ path: "to.-", writes: "key" });
  expect(at("send: [pick.confirmed, fi|]")).toMatchObject({ path: "send.-", writes: "value" });
  expect(at("a: { b: 1 }\nc|")).toMatchObject({ path: "", writes: "key" });
});

it("offers nothing inside a text of many lines, a quote in braces or a comment", () => {
  expect(at("map: |\n  { pay|".replace("|\n", ">\n"))).toBeUndefined();
  expect(at('a: { b: "x|y" }')).toBeUndefined();
  expect(at("# kin|")).toBeUndefined();
});

it("keeps the documents of one file apart", () => {
  expect(at("kind: Template\nspec:\n  flows:\n---\nkind: Site\nspec:\n  tem|\n---\nkind: Policy")).toMatchObject({
    path: "spec",
    kind: "Site",
  });
});

it("sees what stands behind the cursor in the same mapping", () => {
  expect(at("wms:\n  |\n  type: http\n  url: x")).toMatchObject({ path: "wms", siblings: { type: "http", url: "x" } });
});
