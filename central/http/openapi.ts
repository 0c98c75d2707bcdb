import { OpenAPIHono } from "@hono/zod-openapi";
import type { Env } from "hono";
import { z } from "zod";
import { type ProblemCode, problemCodes, problem as problemShape } from "../../protocol/index.ts";
import { type ActorEnv, csrfHeader, type Guards, sessionCookie } from "./access.ts";
import { inputProblem } from "./problem.ts";

/**
 * A group of routes, each declared with `createRoute`, from which the OpenAPI document comes. What fits no declared shape ends as `invalid` with every
 * problem and its path. Who may call is said by each route's own `middleware` (`signedIn`, then the admission of bodies): `app.use("*")` in one
 * group would hold for every group that is mounted beside it.
 */
export function makeRouter<E extends Env = ActorEnv>(): OpenAPIHono<E> {
  return new OpenAPIHono<E>({
    defaultHook: (result) => {
      if (!result.success) throw inputProblem(result.error);
    },
  });
}

/** Who may call: for `security` of a route. `reads`: a token, or a browser's cookie. `changes`: with a cookie also its CSRF token. */
export const security: Record<"reads" | "changes" | "gateway" | "nobody", Record<string, string[]>[]> = {
  reads: [{ token: [] }, { session: [] }],
  changes: [{ token: [] }, { session: [], csrf: [] }],
  gateway: [{ gateway: [] }],
  nobody: [],
};

/** People's and tools' calls, each said in the document and held before it is answered: for `...` in a route. */
export function callsOf(guards: Guards) {
  return {
    reads: { security: security.reads, middleware: guards.signedIn },
    /** Changes something, and needs no body for it. */
    changes: { security: security.changes, middleware: guards.signedIn },
    /** Changes something by a body of JSON. */
    sends: { security: security.changes, middleware: guards.body },
  };
}

/** A body of JSON that has to be there. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } } as const;
}

export function jsonAnswer<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } } as const;
}

const problemSchema = problemShape.omit({ watermark: true }).meta({
  id: "Problem",
  description: "Problem details (RFC 9457). `code` is stable; `problems` names every path of an input that is wrong.",
});
type Status<Code extends ProblemCode> = (typeof problemCodes)[Code]["status"];

/** Answers for problems, by their codes: `...problems("not-signed", "invalid")` among a route's `responses`. */
export function problems<Code extends ProblemCode>(...codes: readonly Code[]) {
  const byStatus = Map.groupBy(codes, (code) => problemCodes[code].status);
  const answers = [...byStatus].map(([status, same]) => [
    status,
    {
      description: same.map((code) => `\`${code}\`: ${problemCodes[code].title}`).join(". "),
      content: { "application/problem+json": { schema: problemSchema } },
    },
  ]);
  return Object.fromEntries(answers) as {
    [S in Status<Code>]: { description: string; content: { "application/problem+json": { schema: typeof problemSchema } } };
  };
}

/** What every call of a person or a tool may be answered with. */
export const callerProblems = ["not-signed", "token-invalid", "not-allowed"] as const satisfies readonly ProblemCode[];
/** What every gateway may be answered. */
export const gatewayProblems = [
  "not-signed",
  "token-invalid",
  "token-expired",
  "key-unknown",
  "site-revoked",
  "not-allowed",
  "site-unknown",
] as const satisfies readonly ProblemCode[];
/** What every body of JSON may be answered with, besides. */
export const bodyProblems = [
  "invalid",
  "unsupported-media",
  "too-large",
  "limited",
  "busy",
] as const satisfies readonly ProblemCode[];

/** `GET /v1/openapi.json`: all routes of the app and of what is mounted in it. Needs no token. */
export function serveOpenApi(app: OpenAPIHono): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description:
      "An API token (`pgt_…`), or the admin token of central's data folder, which sets things up and approves nothing.",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "session", {
    type: "apiKey",
    in: "cookie",
    name: sessionCookie,
    description: "A signed-in browser.",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "csrf", {
    type: "apiKey",
    in: "header",
    name: csrfHeader,
    description: "With the cookie, on each call that changes something: `csrf` of `GET /v1/session`.",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "gateway", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "EdDSA, signed by the gateway's own key; issuer and subject are its site, minutes of life.",
  });
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/v1/openapi.json",
    operationId: "getOpenApi",
    summary: "This document",
    tags: ["about"],
    security: security.nobody,
    responses: { 200: jsonAnswer("OpenAPI 3.1", z.looseObject({ openapi: z.string() })) },
  });
  let made: string | undefined;
  app.get("/v1/openapi.json", (c) => {
    made ??= JSON.stringify(openApiDocument(app));
    return c.body(made, 200, { "content-type": "application/json" });
  });
}

export function openApiDocument(app: OpenAPIHono) {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Plantgate central",
      version: "1",
      description:
        "What people, their tools and gateways call. Problems are RFC 9457; instants are UTC text; unknown keys of an answer are to be ignored.",
    },
    servers: [{ url: "/" }],
  });
  // numbers of a query are read from text, which makes a number of null too; nobody can send one
  for (const item of Object.values(document.paths ?? {}))
    for (const { parameters } of Object.values(item) as Operation[])
      for (const { schema } of parameters ?? [])
        if (Array.isArray(schema?.type)) schema.type = schema.type.filter((type) => type !== "null")[0];
  return document;
}

interface Operation {
  readonly parameters?: readonly { readonly schema?: { type?: string | string[] | undefined } }[];
}
