import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { Changes } from "../change/changes.ts";
import { differencesOf } from "../document/differences.ts";
import type { Renderer } from "../document/renderer.ts";
import type { Revisions } from "../document/revisions.ts";
import type { DocumentStore } from "../document/store.ts";
import type { SiteRegistry } from "../site/registry.ts";
import type { Storage } from "../storage/storage.ts";
import { type Guards, requireRole, requireSite } from "./access.ts";
import { documentKind } from "./api/common.ts";
import { documentHistory, documentRevision, documentsAnswer, sourceFile, validateAnswer, validateBody } from "./api/documents.ts";
import { bundleDiff, siteRevisions } from "./api/sites.ts";
import { refusing } from "./change-routes.ts";
import type { OneAtATime } from "./one-at-a-time.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface DocumentRouteDeps {
  /** For what only reads. */
  readonly reading: Storage;
  readonly documents: DocumentStore;
  readonly renderer: Renderer;
  readonly revisions: Revisions;
  readonly registry: SiteRegistry;
  readonly changes: Changes;
  readonly guards: Guards;
  readonly oneAtATime: OneAtATime;
  /** Told with the site after its desired revision may have changed. */
  readonly siteChanged: (site: string) => void;
}

const sitePath = z.object({ site: z.string() });
const documentPath = z.object({ kind: documentKind, name: z.string().max(64) });
const push = z.strictObject({ files: z.array(z.strictObject(sourceFile.shape)).min(1).max(500) });
const pushed = z.object({ site: z.string(), revision: z.int(), digest: z.string(), created: z.boolean() });
const place = z
  .string()
  .regex(/^(?:change:)?\d{1,9}$/, "a revision's number, or change:NUMBER")
  .meta({ description: "A revision's number, or `change:12`: what a change makes of the site." });

/** Documents, and what was made of them for each site. */
export function documentRoutes({ guards, ...deps }: DocumentRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const reads = { method: "get" as const, tags: ["documents"], ...calls.reads };
  const sites = { ...reads, tags: ["sites"] };

  app.openapi(
    createRoute({
      ...reads,
      path: "/documents",
      operationId: "listDocuments",
      summary: "All documents, and which of their revisions is in force where",
      responses: { 200: jsonAnswer("By kind and name", documentsAnswer), ...problems(...callerProblems) },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      return c.json({ documents: await deps.documents.list(deps.reading) }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      path: "/documents/{kind}/{name}",
      operationId: "getDocument",
      summary: "A document and its revisions",
      request: { params: documentPath },
      responses: {
        200: jsonAnswer("The newest revision first", documentHistory),
        ...problems(...callerProblems, "not-found", "invalid"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { kind, name } = c.req.valid("param");
      const found = await deps.documents.history(deps.reading, kind, name);
      if (!found) throw new ProblemError("not-found", `there is no ${kind} "${name}"`);
      return c.json(found, 200);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      path: "/documents/{kind}/{name}/revisions/{revision}",
      operationId: "getDocumentRevision",
      summary: "One revision of a document, as it was written",
      request: { params: documentPath.extend({ revision: z.coerce.number().int().min(1) }) },
      responses: {
        200: jsonAnswer("It never changes", documentRevision),
        ...problems(...callerProblems, "not-found", "invalid"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { kind, name, revision } = c.req.valid("param");
      const found = await deps.documents.revision(deps.reading, kind, name, revision);
      if (!found) throw new ProblemError("not-found", `there is no revision ${revision} of ${kind} "${name}"`);
      return c.json(found, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      tags: ["documents"],
      ...calls.sends,
      path: "/validate",
      operationId: "validateDocuments",
      summary: "Judge documents, and run their examples, beside what is in force in an environment; nothing is kept",
      request: { body: jsonBody(validateBody) },
      responses: {
        200: jsonAnswer("Every problem, with its place", validateAnswer),
        ...problems(...callerProblems, ...bodyProblems),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { files, environment } = c.req.valid("json");
      const inForce = environment === undefined ? [] : await deps.documents.inForce(deps.reading, environment);
      const others = await deps.documents.read(deps.reading, inForce);
      const judged = await deps.oneAtATime(c.var.actor, () =>
        refusing(() => deps.renderer.run({ kind: "validate", files, others })),
      );
      return c.json({ problems: [...judged.problems], warnings: [...judged.warnings] }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...sites,
      path: "/sites/{site}/revisions",
      operationId: "listRevisions",
      summary: "A site's revisions",
      request: { params: sitePath },
      responses: { 200: jsonAnswer("The newest first", siteRevisions), ...problems(...callerProblems, "site-unknown") },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { site } = c.req.valid("param");
      await requireSite(deps.registry, site);
      return c.json({ revisions: await deps.revisions.list(site) }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...sites,
      path: "/sites/{site}/diff",
      operationId: "diffRevisions",
      summary: "What two bundles of a site do not share",
      request: { params: sitePath, query: z.object({ from: place, to: place }) },
      responses: {
        200: jsonAnswer("Value by value", bundleDiff),
        ...problems(...callerProblems, "site-unknown", "not-found", "invalid", "busy"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { site } = c.req.valid("param");
      await requireSite(deps.registry, site);
      const { from, to } = c.req.valid("query");
      const [before, after] = [await bundleOf(site, from), await bundleOf(site, to)];
      return c.json({ from: before, to: after, differences: differencesOf(before, after) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      tags: ["sites"],
      ...calls.sends,
      path: "/sites/{site}/revisions",
      operationId: "pushRevision",
      summary: "Make documents the site's desired revision, at once; where changes are read by a second person it is refused",
      request: { params: sitePath, body: jsonBody(push) },
      responses: {
        200: jsonAnswer("It says the same as the desired one", pushed),
        201: jsonAnswer("A new revision is desired", pushed),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const { site } = c.req.valid("param");
      const { actor } = c.var;
      requireRole(actor, "engineer");
      const { files } = c.req.valid("json");
      await requireSite(deps.registry, site);
      const by = { name: actor.name, authorize: (environment: string) => requireRole(actor, "engineer", environment) };
      const outcome = await refusing(() => deps.revisions.push(site, files, by));
      if (outcome.kind === "refused") throw new ProblemError("not-allowed", outcome.reason);
      if (outcome.kind === "invalid") {
        const { problems } = outcome;
        const counted = `the documents have ${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
        throw new ProblemError("invalid", counted, { extra: { problems } });
      }
      deps.siteChanged(site);
      const { revision, digest, kind } = outcome;
      return c.json({ site, revision, digest, created: kind === "created" }, kind === "created" ? 201 : 200);
    },
  );

  /** What a revision, or a change, gives a site: without its number. */
  async function bundleOf(site: string, which: string): Promise<unknown> {
    if (!which.startsWith("change:")) {
      if (which === "0") return {};
      const bundle = await deps.revisions.bundle(site, Number(which));
      if (!bundle) throw new ProblemError("not-found", `site "${site}" has no revision ${which}`);
      const { revision: _, createdAt: __, ...says } = bundle;
      return says;
    }
    const number = Number(which.slice("change:".length));
    const { planned, problems } = await refusing(() => deps.changes.candidate(number, site));
    if (planned) return planned.bundle;
    if (problems.length > 0)
      throw new ProblemError("invalid", `change ${number} has problems`, { extra: { problems: [...problems] } });
    throw new ProblemError("not-found", `change ${number} has no part in what "${site}" runs`);
  }

  return app;
}
