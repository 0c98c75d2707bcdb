import { expect, it } from "vitest";
import { completePush } from "../../../central/document/merge.ts";

const document = (kind: string, name: string, purpose = "p"): string =>
  `kind: ${kind}\nmetadata: { name: ${name}, purpose: ${purpose} }\n`;

it("keeps what a push does not bring as it was in the last revision", () => {
  const last = [
    { name: "plant.yaml", text: document("Template", "plant", "old") },
    { name: "sites/lyon.yaml", text: document("Site", "lyon") },
  ];
  const pushed = [{ name: "elsewhere/plant.yaml", text: document("Template", "plant", "new") }];
  expect(completePush(pushed, last)).toEqual([pushed[0], last[1]]);
});

it("replaces one document of a file that holds several", () => {
  const last = [{ name: "all.yaml", text: `${document("Template", "plant", "old")}---\n${document("Site", "lyon")}` }];
  const files = completePush([{ name: "all.yaml", text: document("Template", "plant", "new") }], last);
  expect(files.map(({ name }) => name)).toEqual(["all.yaml", "last revision/all.yaml"]);
  expect(files[1]!.text).toContain("Site");
  expect(files[1]!.text).not.toContain("Template");
});

it("leaves examples out, and keeps what cannot be read to be reported", () => {
  const broken = { name: "broken.json", text: "{" };
  expect(completePush([{ name: "examples/pick.json", text: '{"txn":"T-1"}' }, broken], [])).toEqual([broken]);
});

it("leaves a document whose alias leads nowhere to be judged", () => {
  const broken = { name: "plant.yaml", text: "kind: Template\nmetadata: *nothing\n" };
  expect(completePush([broken], [])).toEqual([broken]);
});
