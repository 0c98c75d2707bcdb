import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bundle, compileBundle, renderSite, validateDocuments } from "../../../protocol/index.ts";

const folder = join(import.meta.dirname, "../../../packaging/demo/config");
const read = (name: string): { name: string; text: string } => ({ name, text: readFileSync(join(folder, name), "utf8") });
const documents = ["assembly-plant.yaml", "odoo-hq.yaml", "sites/hq.yaml", "sites/lyon.yaml", "sites/porto.yaml"].map(read);
const examples = readdirSync(join(folder, "examples")).map((name) => read(`examples/${name}`));

describe("the demo's configuration", () => {
  it("has no problem, and its examples give what they say", async () => {
    const { problems, templates, sites } = await validateDocuments({
      files: documents,
      readExample: (path) => examples.find(({ name }) => name === path)?.text,
    });
    expect(problems).toEqual([]);
    expect([templates.length, sites.length]).toEqual([2, 3]);
  });

  it("uses every example that it has", () => {
    const text = documents.map((document) => document.text).join();
    for (const { name } of examples) expect(text).toContain(name);
  });

  it("fails when an example is changed", async () => {
    for (const { name, text } of examples.filter((example) => example.name.endsWith(".out.json"))) {
      const changed = [
        ...documents,
        ...examples.filter((example) => example.name !== name),
        { name, text: text.replace(/hq-mo-42|INPUT_INVALID|"item": "v/, "wrong") },
      ];
      expect((await validateDocuments({ files: changed })).problems.length, name).toBeGreaterThan(0);
    }
  });

  it.each([
    ["lyon", 5, 9],
    ["porto", 5, 9],
    ["hq", 1, 6],
  ])("gives %s a bundle that a gateway takes", async (site, connectors, flows) => {
    const built = await renderSite({
      files: [...documents, ...examples],
      site,
      revision: 1,
    });
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    expect(bundle.parse(JSON.parse(JSON.stringify(built.bundle)))).toEqual(built.bundle);
    expect(Object.keys(built.bundle.connectors)).toHaveLength(connectors);
    expect(Object.keys(built.bundle.flows)).toHaveLength(flows);
    const compiled = compileBundle(built.bundle);
    expect(compiled.problems).toEqual([]);
    expect(compiled.flows.size).toBe(flows);
  });

  it("maps without JSONata's evaluator what does not need it: samples, and business messages made of paths", async () => {
    const built = await renderSite({ files: documents, site: "lyon", revision: 1 });
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    const { flows } = compileBundle(built.bundle);
    expect([...flows.values()].filter(({ fast, type }) => fast && type).map(({ name }) => name)).toEqual([
      "picks",
      "shortages",
      "scrap",
      "samples",
      "device-samples",
    ]);
  });
});
