import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { type AppDeps, makeApp } from "../../../central/http/app.ts";
import { openApiDocument } from "../../../central/http/openapi.ts";

interface Operation {
  operationId?: string;
  summary?: string;
  security?: Record<string, string[]>[];
  parameters?: { name: string; in: string; schema?: unknown }[];
  requestBody?: { content: Record<string, { schema?: unknown }> };
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: unknown }> }>;
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, unknown>>;
}

const methods = ["get", "post", "put", "patch", "delete"];

/** Whatever is asked of it, it is there: routes are only made here, never called. */
function anything(): AppDeps {
  const target: unknown = new Proxy(() => {}, { get: () => target, apply: () => target });
  return new Proxy({}, { get: (_, name) => (name === "consoleDir" ? undefined : target) }) as AppDeps;
}

describe("the OpenAPI document", () => {
  let routes: string[];
  let document: Document;
  let operations: [string, Operation][];
  beforeAll(() => {
    const app = makeApp(anything());
    routes = app.routes
      .filter(({ method, path }) => methods.includes(method.toLowerCase()) && path.startsWith("/v1"))
      .map(({ method, path }) => `${method.toLowerCase()} ${path.replaceAll(/:([^/{]+)(\{[^}]*\})?/g, "{$1}")}`);
    document = JSON.parse(JSON.stringify(openApiDocument(app))) as Document;
    operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]): [string, Operation] => [`${method} ${path}`, operation]),
    );
  });

  it("holds every route under /v1, and none that is not there", () => {
    expect(document.openapi).toBe("3.1.0");
    expect(operations.map(([name]) => name).sort()).toEqual([...new Set(routes)].sort());
  });

  it("holds every call that the pages name", () => {
    const docs = fileURLToPath(new URL("../../../packaging/docs/", import.meta.url));
    const named = globSync(`${docs}*.md`).flatMap((page) =>
      // a value in the place of a part is one of it
      [...readFileSync(page, "utf8").matchAll(/`(GET|POST|PUT|PATCH|DELETE) (\/v1\/[\w{}/.-]+)/g)].map(
        ([, method = "", path = ""]) => ({
          call: `${method.toLowerCase()} ${path}`,
          parts: path.split("/"),
          method: method.toLowerCase(),
        }),
      ),
    );
    const known = operations.map(([name]) => name.split(" "));
    const strange = named.filter(
      ({ method, parts }) =>
        !known.some(([of, path = ""]) => {
          const wanted = path.split("/");
          return (
            of === method &&
            wanted.length === parts.length &&
            wanted.every((part, n) => part.startsWith("{") || part === parts[n])
          );
        }),
    );
    expect(strange.map(({ call }) => call)).toEqual([]);
    expect(named.length).toBeGreaterThan(50);
  });

  it("says of each operation what it is, who may call it and what it answers", () => {
    const ids = operations.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const schemes = Object.keys(document.components.securitySchemes ?? {});
    for (const [name, operation] of operations) {
      expect([name, operation.operationId]).toEqual([name, expect.stringMatching(/^[a-z][A-Za-z]+$/)]);
      expect([name, operation.summary]).toEqual([name, expect.stringMatching(/^\S.*[^.]$/)]);
      expect([name, operation.security]).toEqual([name, expect.any(Array)]);
      for (const scheme of (operation.security ?? []).flatMap((one) => Object.keys(one))) expect(schemes).toContain(scheme);
      const answers = Object.entries(operation.responses ?? {});
      expect([name, answers.some(([status]) => /^[23]/.test(status))]).toEqual([name, true]);
      for (const [status, answer] of answers) {
        expect([name, status, answer.description]).toEqual([name, status, expect.stringMatching(/\S/)]);
        for (const content of Object.values(answer.content ?? {}))
          expect([name, status, content.schema]).toEqual([name, status, expect.any(Object)]);
      }
      if ((operation.security ?? []).length > 0)
        expect([name, Object.keys(operation.responses ?? {})]).toEqual([name, expect.arrayContaining(["401"])]);
    }
  });

  it("names each part of a path, and the shape of each body", () => {
    for (const [name, operation] of operations) {
      const inPath = [...name.matchAll(/\{([^}]+)\}/g)].map(([, part]) => part);
      const told = (operation.parameters ?? []).filter((parameter) => parameter.in === "path").map((parameter) => parameter.name);
      expect([name, told.sort()]).toEqual([name, inPath.sort()]);
      for (const { schema } of operation.parameters ?? []) {
        expect([name, schema]).toEqual([name, expect.any(Object)]);
        expect([name, JSON.stringify(schema)]).toEqual([name, expect.not.stringContaining('"null"')]);
      }
      // whatever may be answered as of the wrong type takes a body, and the other way round
      const takesBody = Object.keys(operation.responses ?? {}).includes("415");
      expect([name, operation.requestBody !== undefined]).toEqual([name, takesBody]);
      for (const { schema } of Object.values(operation.requestBody?.content ?? {}))
        expect([name, schema]).toEqual([name, expect.any(Object)]);
    }
  });

  it("refers to nothing that it does not hold", () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(refs.length).toBeGreaterThan(10);
    for (const path of new Set(refs)) {
      const held = path.split("/").reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
      expect([path, held]).toEqual([path, expect.any(Object)]);
    }
  });

  it("is served to whoever asks", async () => {
    const answer = await makeApp(anything()).request("/v1/openapi.json");
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(await answer.json()).toEqual(document);
  });
});
