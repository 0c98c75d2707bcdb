import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { type DocumentSchemaKind, documentSchema, documentSchemaKinds } from "../../protocol/index.ts";

const folder = join(import.meta.dirname, "../../packaging/demo/config");
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".yaml"));
const documents = files.flatMap((name) =>
  parseAllDocuments(readFileSync(join(folder, name), "utf8")).map((each) => each.toJS() as { kind: DocumentSchemaKind }),
);
const accepts = (document: { readonly kind: DocumentSchemaKind }): boolean =>
  z.fromJSONSchema(documentSchema(document.kind) as never).safeParse(document).success;

describe("the JSON Schemas of documents", () => {
  it("take every document of the demo, also where parameters are filled in", () => {
    expect(documents.length).toBeGreaterThan(4);
    for (const document of documents) expect(accepts(document), JSON.stringify(document).slice(0, 120)).toBe(true);
  });

  it("refuse a key that a connector or a flow does not have, before it is rendered", () => {
    const template = documents.find(({ kind }) => kind === "Template") as unknown as {
      kind: "Template";
      spec: { flows: Record<string, object>; connectors: Record<string, object> };
    };
    const [flow = ""] = Object.keys(template.spec.flows);
    const flows = { ...template.spec.flows, [flow]: { ...template.spec.flows[flow], purposee: "x" } };
    expect(accepts({ ...template, spec: { ...template.spec, flows } } as typeof template)).toBe(false);
    const [connector = ""] = Object.keys(template.spec.connectors);
    const connectors = { ...template.spec.connectors, [connector]: { ...template.spec.connectors[connector], urll: "x" } };
    expect(accepts({ ...template, spec: { ...template.spec, connectors } } as typeof template)).toBe(false);
  });

  it("describe every field that a person writes, so that an editor can say what it is for", () => {
    for (const kind of documentSchemaKinds.filter((each) => each !== "Bundle"))
      expect(undescribed(documentSchema(kind), kind).filter((path) => !/\.(metadata|spec|hmac)(\.|$)[^.]*$/.test(path))).toEqual(
        [],
      );
  });
});

function undescribed(schema: unknown, path: string): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties, anyOf, oneOf, items, additionalProperties } = schema as Record<string, unknown>;
  const own = Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>).flatMap(([key, each]) => [
    ...(each.description === undefined && each.const === undefined ? [`${path}.${key}`] : []),
    ...undescribed(each, `${path}.${key}`),
  ]);
  const choices = [...((anyOf as unknown[]) ?? []), ...((oneOf as unknown[]) ?? [])].flatMap((each) => undescribed(each, path));
  return [...own, ...choices, ...undescribed(items, path), ...undescribed(additionalProperties, `${path}.*`)];
}
