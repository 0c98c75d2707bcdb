import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { validateDocuments } from "../../../protocol/index.ts";

const folder = join(import.meta.dirname, "../../../packaging/demo/config");
const template = readFileSync(join(folder, "assembly-plant.yaml"), "utf8");
const site = { name: "lyon.yaml", text: readFileSync(join(folder, "sites/lyon.yaml"), "utf8") };

describe("judging what people and programs may write", () => {
  it("never throws, and names a line that the file has", async () => {
    const scrap = fc.oneof(
      fc.constantFrom("", ":", "{", "}", "[", "]", '"', "'", "\n", "  ", "- ", "${", "*order", "null", "|", "#", "\t", "1e999"),
      fc.string({ maxLength: 5 }),
    );
    const edit = fc.tuple(fc.nat(template.length), fc.nat(40), scrap);
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), fc.boolean(), async (edits, withSite) => {
        const text = edits.reduce(
          (current, [at, length, put]) => current.slice(0, at) + put + current.slice(at + length),
          template,
        );
        const { problems } = await validateDocuments({
          files: withSite ? [{ name: "t.yaml", text }, site] : [{ name: "t.yaml", text }],
        });
        const lines = text.split("\n");
        for (const problem of problems.filter(({ file }) => file === "t.yaml")) {
          expect(problem.line).toBeGreaterThanOrEqual(1);
          expect(problem.line).toBeLessThanOrEqual(lines.length);
          expect(problem.column).toBeLessThanOrEqual((lines[problem.line - 1] ?? "").length + 1);
        }
      }),
      { numRuns: 120 },
    );
  });

  it.each([
    [
      "brackets of an expression",
      template.replace("split: payload.lines", `split: "${"(".repeat(9000)}payload${")".repeat(9000)}"`),
    ],
    [
      "functions of an expression",
      template.replace("split: payload.lines", `split: '${"$not(".repeat(3000)}payload${")".repeat(3000)}'`),
    ],
    ["sums of an expression", template.replace("split: payload.lines", `split: "${"1+".repeat(9000)}1"`)],
    ["lists of YAML", template.replace("split: payload.lines", `split: ${"[".repeat(20_000)}${"]".repeat(20_000)}`)],
    ["objects of YAML", template.replace("split: payload.lines", `split: ${"{ a: ".repeat(5000)}1${" }".repeat(5000)}`)],
  ])("says that %s are nested too deep", async (_what, text) => {
    const { problems } = await validateDocuments({ files: [{ name: "t.yaml", text }] });
    expect(problems.length).toBeGreaterThan(0);
  });
});
