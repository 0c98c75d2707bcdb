import { expect, it } from "vitest";
import { documentsIn } from "../../../central/console/documents/names.ts";

it("finds each document's kind and name, in block and flow style", () => {
  expect(
    documentsIn("apiVersion: plantgate/v1\nkind: Template\nmetadata:\n  owner: a@b\n\n  name: plant # x\nspec:\n  name: no"),
  ).toEqual(["Template/plant"]);
  expect(
    documentsIn(
      'kind: "Site"\nmetadata: { owner: a, name: "lyon" }\nspec: {}\n---\nkind: Policy\nmetadata: { name: p-1, owner: b }',
    ),
  ).toEqual(["Site/lyon", "Policy/p-1"]);
});

it("finds nothing in what has no kind or no name yet", () => {
  expect(documentsIn("")).toEqual([]);
  expect(documentsIn("kind: Site\nmetadata:\n  owner: x\nspec:\n  name: y")).toEqual([]);
});
