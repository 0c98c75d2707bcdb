import { Hono, type MiddlewareHandler } from "hono";
import { z } from "zod";
import type { Operators } from "../auth/operators.ts";
import type { Revisions } from "../document/revisions.ts";
import type { SiteRegistry } from "../site/registry.ts";
import { adminOnly } from "./access.ts";
import { ProblemError, parseBody } from "./problem.ts";

export interface AdminRouteDeps {
  readonly operators: Operators;
  readonly registry: SiteRegistry;
  readonly revisions: Revisions;
  readonly signingKey: string;
  /** Admits bodies of JSON. */
  readonly json: MiddlewareHandler;
  /** Told with the site after its rights, routes or desired revision may have changed. */
  readonly siteChanged: (site: string) => void;
}

/** A site's name is part of paths, topics and identifiers. */
export const siteName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "a site's name: lower-case letters, digits and dashes, at most 63");
const newSite = z.strictObject({ name: siteName, publicKey: z.string().min(1).max(2000) });
const push = z.strictObject({
  files: z
    .array(z.strictObject({ name: z.string().min(1).max(512), text: z.string().max(2 * 1024 * 1024) }))
    .min(1)
    .max(500),
});

/** What changes something; each call carries the admin token. */
export function adminRoutes(deps: AdminRouteDeps): Hono {
  const app = new Hono();
  const admin = adminOnly(deps.operators);
  const { json } = deps;

  app.post("/sites", admin, json, async (c) => {
    const { name, publicKey } = await parseBody(c, newSite);
    const outcome = await deps.registry.add(name, publicKey);
    if (outcome.kind === "key-invalid") throw new ProblemError("invalid", "publicKey: an Ed25519 public key in PEM (SPKI)");
    if (outcome.kind === "conflict")
      throw new ProblemError("conflict", `site "${name}" is pinned to another key; revoke it first, then add its new key`);
    deps.siteChanged(name);
    return c.json({ site: name, signingKey: deps.signingKey }, outcome.kind === "added" ? 201 : 200);
  });

  app.post("/sites/:site/revoke", admin, async (c) => {
    const site = c.req.param("site");
    if (!(await deps.registry.revoke(site))) throw new ProblemError("site-unknown", `there is no site "${site}"`);
    deps.siteChanged(site);
    return c.json({ site, revoked: true });
  });

  app.post("/sites/:site/revisions", admin, json, async (c) => {
    const site = c.req.param("site");
    const { files } = await parseBody(c, push);
    if (!(await deps.registry.find(site))) throw new ProblemError("site-unknown", `there is no site "${site}"`);
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
  });

  app.post("/signin-links", admin, async (c) => {
    const code = await deps.operators.makeCode();
    const url = new URL("/signin", c.req.url);
    url.searchParams.set("code", code);
    return c.json({ url: url.href }, 201);
  });

  return app;
}
