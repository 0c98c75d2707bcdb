import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { documentSchema, documentSchemaKinds } from "../../protocol/index.ts";
import { jsonAnswer, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

const schemasAnswer = z.object({ schemas: z.array(z.object({ kind: z.enum(documentSchemaKinds), path: z.string() })) });
/** A JSON Schema, as `packaging/schemas` holds it. */
const jsonSchema = z.looseObject({ $schema: z.string(), $id: z.string() });

/** What documents may say, for editors: no secret, so that whoever writes one needs no token for it. */
export function schemaRoutes() {
  const app = makeRouter();
  const shared = { method: "get" as const, tags: ["documents"], security: security.nobody };

  app.openapi(
    createRoute({
      ...shared,
      path: "/schemas",
      operationId: "listSchemas",
      summary: "The kinds of documents that have a JSON Schema, and where it is",
      responses: { 200: jsonAnswer("By kind", schemasAnswer) },
    }),
    (c) => c.json({ schemas: documentSchemaKinds.map((kind) => ({ kind, path: `/v1/schemas/${kind}.json` })) }, 200),
  );

  app.openAPIRegistry.registerPath({
    ...shared,
    path: "/schemas/{file}",
    operationId: "getSchema",
    summary: "JSON Schema (2020-12) of one kind of document",
    request: {
      params: z.object({ file: z.string().meta({ description: documentSchemaKinds.map((kind) => `${kind}.json`).join(", ") }) }),
    },
    responses: { 200: jsonAnswer("The schema", jsonSchema), ...problems("not-found") },
  });
  const made = new Map<string, string>();
  app.get("/schemas/:file", (c) => {
    const [name = ""] = /^[^.]+(?=\.json$)/.exec(c.req.param("file")) ?? [];
    const kind = documentSchemaKinds.find((each) => each.toLowerCase() === name.toLowerCase());
    if (!kind)
      throw new ProblemError("not-found", `there is no schema "${c.req.param("file")}": ${documentSchemaKinds.join(", ")}`);
    const text = made.get(kind) ?? JSON.stringify(documentSchema(kind));
    made.set(kind, text);
    return c.body(text, 200, { "content-type": "application/schema+json" });
  });

  return app;
}
