import { createRoute } from "@hono/zod-openapi";
import type { Audit } from "../audit/audit.ts";
import { readEntries } from "../audit/entries.ts";
import type { Storage } from "../storage/storage.ts";
import type { Guards } from "./access.ts";
import { auditAnswer, auditQuery, auditVerification, verifyQuery } from "./api/people.ts";
import { callerProblems, callsOf, jsonAnswer, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface AuditRouteDeps {
  readonly audit: Audit;
  /** For what only reads, and may take long. */
  readonly auditStorage: Storage;
  readonly guards: Guards;
}

/** What was done, by whom; for whoever is signed in. */
export function auditRoutes({ audit, auditStorage, guards }: AuditRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const shared = { method: "get" as const, tags: ["audit"], ...calls.reads };

  app.openapi(
    createRoute({
      ...shared,
      path: "/audit",
      operationId: "readAudit",
      summary: "Entries of the audit log",
      request: { query: auditQuery },
      responses: { 200: jsonAnswer("The newest last", auditAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => c.json(await readEntries(auditStorage, c.req.valid("query")), 200),
  );

  app.openapi(
    createRoute({
      ...shared,
      path: "/audit/verify",
      operationId: "verifyAudit",
      summary: "Judge whether the audit log is what was written",
      request: { query: verifyQuery },
      responses: {
        200: jsonAnswer("Every entry's hash was worked out again", auditVerification),
        ...problems(...callerProblems, "invalid"),
      },
    }),
    async (c) => {
      const { head, at } = c.req.valid("query");
      if ((head === undefined) !== (at === undefined))
        throw new ProblemError("invalid", "give head and at together: the hash, and the number of the entry that had it");
      const kept = head !== undefined && at !== undefined ? { head, at } : undefined;
      return c.json(await audit.verify(auditStorage, kept), 200);
    },
  );

  return app;
}
