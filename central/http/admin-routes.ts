import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { Revisions } from "../document/revisions.ts";
import type { SiteRegistry } from "../site/registry.ts";
import { type Guards, requireRole } from "./access.ts";
import { sourceFile } from "./api/documents.ts";
import { bodyProblems, callerProblems, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface AdminRouteDeps {
  readonly registry: SiteRegistry;
  readonly revisions: Revisions;
  readonly signingKey: string;
  readonly guards: Guards;
  /** Told with the site after its rights, routes or desired revision may have changed. */
  readonly siteChanged: (site: string) => void;
}

/** A site's name is part of paths, topics and identifiers. */
export const siteName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "a site's name: lower-case letters, digits and dashes, at most 63");
const newSite = z.strictObject({ name: siteName, publicKey: z.string().min(1).max(2000) });
const addedSite = z.object({ site: z.string(), signingKey: z.string() });
const push = z.strictObject({ files: z.array(z.strictObject(sourceFile.shape)).min(1).max(500) });
const pushed = z.object({ site: z.string(), revision: z.int(), digest: z.string(), created: z.boolean() });
const sitePath = z.object({ site: z.string() });

/** What sets sites up. */
export function adminRoutes({ guards, ...deps }: AdminRouteDeps) {
  const app = makeRouter();

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites",
      operationId: "addSite",
      summary: "Register a site, pinned to its gateway's key",
      tags: ["sites"],
      security: security.changes,
      middleware: guards.body,
      request: { body: jsonBody(newSite) },
      responses: {
        200: jsonAnswer("It was there already, with this key", addedSite),
        201: jsonAnswer("It is there now; the gateway pins `signingKey`", addedSite),
        ...problems(...callerProblems, ...bodyProblems, "conflict"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin");
      const { name, publicKey } = c.req.valid("json");
      const known = await deps.registry.find(name);
      if (known) requireRole(c.var.actor, "admin", known.environment);
      const outcome = await deps.registry.add(name, publicKey);
      if (outcome.kind === "key-invalid") throw new ProblemError("invalid", "publicKey: an Ed25519 public key in PEM (SPKI)");
      if (outcome.kind === "conflict")
        throw new ProblemError("conflict", `site "${name}" is pinned to another key; revoke it first, then add its new key`);
      deps.siteChanged(name);
      return c.json({ site: name, signingKey: deps.signingKey }, outcome.kind === "added" ? 201 : 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/revoke",
      operationId: "revokeSite",
      summary: "Take a site's access away",
      tags: ["sites"],
      security: security.changes,
      middleware: guards.signedIn,
      request: { params: sitePath },
      responses: {
        200: jsonAnswer("Open requests of it end within 5 s", z.object({ site: z.string(), revoked: z.boolean() })),
        ...problems(...callerProblems, "site-unknown"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin");
      const { site } = c.req.valid("param");
      const known = await deps.registry.find(site);
      if (known) requireRole(c.var.actor, "admin", known.environment);
      if (!(await deps.registry.revoke(site))) throw new ProblemError("site-unknown", `there is no site "${site}"`);
      deps.siteChanged(site);
      return c.json({ site, revoked: true }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/revisions",
      operationId: "pushRevision",
      summary: "Make documents the site's desired revision, at once",
      tags: ["sites"],
      security: security.changes,
      middleware: guards.body,
      request: { params: sitePath, body: jsonBody(push) },
      responses: {
        200: jsonAnswer("It says the same as the desired one", pushed),
        201: jsonAnswer("A new revision is desired", pushed),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const { site } = c.req.valid("param");
      requireRole(c.var.actor, "engineer");
      const { files } = c.req.valid("json");
      const known = await deps.registry.find(site);
      if (!known) throw new ProblemError("site-unknown", `there is no site "${site}"`);
      requireRole(c.var.actor, "engineer", known.environment);
      const outcome = await deps.revisions.push(site, files);
      if (outcome.kind === "invalid") {
        const { problems } = outcome;
        throw new ProblemError(
          "invalid",
          `the documents have ${problems.length} ${problems.length === 1 ? "problem" : "problems"}`,
          { extra: { problems } },
        );
      }
      deps.siteChanged(site);
      const { revision, digest, kind } = outcome;
      return c.json({ site, revision, digest, created: kind === "created" }, kind === "created" ? 201 : 200);
    },
  );

  return app;
}
