import { expect, it } from "vitest";
import { type DocumentSource, runRenderJob } from "../../../central/document/render-work.ts";
import type { SourceFile } from "../../../protocol/index.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";

const inForce = (file: SourceFile): DocumentSource => {
  const { kind, metadata } = JSON.parse(file.text) as { kind: DocumentSource["kind"]; metadata: { name: string } };
  return { kind, name: metadata.name, revision: 1, text: file.text, attachments: {} };
};
const others = [
  templateFile(),
  siteFile("lyon", { environment: "test", region: "eu" }),
  siteFile("porto", { environment: "test", region: "us" }),
  policyFile("eu", { region: "eu" }, { logLevel: "info" }),
].map(inForce);

async function warned(...files: SourceFile[]): Promise<string[]> {
  const judged = await runRenderJob({ kind: "validate", files, others });
  if (!("warnings" in judged)) throw new Error("it was not judged");
  expect(judged.problems).toEqual([]);
  return judged.warnings.map(({ file, message }) => `${file}: ${message}`);
}

it("warns by all sites of the environment, not by those that are handed in alone", async () => {
  const own = siteFile("lyon", { environment: "test", region: "eu" });
  expect(await warned(own, policyFile("a", { region: "us" }, { logLevel: "warn" }))).toEqual([]);
  expect(await warned(own, policyFile("a", { region: "asia" }, { logLevel: "warn" }))).toEqual([
    "policy-a.yaml: no site has region=asia; there is eu, us",
  ]);
});

it("warns of a policy in force that only its name puts before or behind", async () => {
  expect(await warned(policyFile("fr", { region: "eu" }, { logLevel: "warn" }))).toEqual([
    'policy-fr.yaml: policy "eu" says info with the same rank, and is heard first by its name alone: give one of them a priority',
  ]);
});

it("warns of the same also where the name puts the new one first", async () => {
  expect(await warned(policyFile("de", { region: "eu" }, { logLevel: "warn" }))).toEqual([
    'policy-de.yaml: policy "eu" says info with the same rank, and is heard after this by its name alone: give one of them a priority',
  ]);
});

it("does not know of templates that are not needed here, and says nothing of them", async () => {
  const deliveries = [{ connector: "wms", flow: "orders", effect: "once" }];
  expect(await warned(policyFile("a", { region: "us" }, { deliveries }))).toEqual([]);
});
