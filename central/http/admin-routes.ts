import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { SiteRegistry } from "../site/registry.ts";
import type { SigningKeys } from "../storage/signing-keys.ts";
import { type Guards, requireRole, siteUnknown } from "./access.ts";
import { environmentName } from "./api/common.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface AdminRouteDeps {
  readonly registry: SiteRegistry;
  readonly signingKeys: SigningKeys;
  readonly guards: Guards;
  /** Told with the site after its rights, routes or desired revision may have changed. */
  readonly siteChanged: (site: string) => void;
}

/** A site's name is part of paths, topics and identifiers. */
export const siteName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "a site's name: lower-case letters, digits and dashes, at most 63");
const newSite = z.strictObject({
  name: siteName,
  publicKey: z.string().min(1).max(2000).optional().meta({ description: "None: its gateway is enrolled later" }),
  environment: environmentName
    .optional()
    .meta({ description: "Where it belongs, for ever; none: as its first Site document says" }),
});
const addedSite = z.object({ site: z.string(), signingKey: z.string() });
const sitePath = z.object({ site: z.string() });

/** What sets sites up. */
export function adminRoutes({ guards, ...deps }: AdminRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites",
      operationId: "addSite",
      summary: "Register a site, pinned to its gateway's key",
      tags: ["sites"],
      ...calls.sends,
      request: { body: jsonBody(newSite) },
      responses: {
        200: jsonAnswer("It was there already, with this key", addedSite),
        201: jsonAnswer("It is there now; the gateway pins `signingKey`", addedSite),
        ...problems(...callerProblems, ...bodyProblems, "conflict"),
      },
    }),
    async (c) => {
      const { name, publicKey, environment = "" } = c.req.valid("json");
      // one without an environment counts as prod, and takes whatever its first document says
      if (environment === "") requireRole(c.var.actor, "admin", "*");
      else requireRole(c.var.actor, ["admin", "engineer"], environment);
      const known = await deps.registry.find(name);
      if (known) requireRole(c.var.actor, "admin", known.environment);
      const actor = c.var.actor.name;
      const signingKey = deps.signingKeys.chain.at(-1)?.publicKey ?? "";
      if (publicKey === undefined || environment !== "") {
        const created = await deps.registry.create(name, environment, actor);
        if (created.kind === "conflict") throw new ProblemError("conflict", `site "${name}" belongs to another environment`);
        if (publicKey === undefined) {
          deps.siteChanged(name);
          return c.json({ site: name, signingKey }, created.kind === "created" ? 201 : 200);
        }
      }
      const outcome = await deps.registry.add(name, publicKey, actor);
      if (outcome.kind === "key-invalid") throw new ProblemError("invalid", "publicKey: an Ed25519 public key in PEM (SPKI)");
      if (outcome.kind === "conflict") {
        const pinned = `site "${name}" is pinned to another key; revoke it first, then add its new key`;
        throw new ProblemError("conflict", outcome.detail ?? pinned);
      }
      deps.siteChanged(name);
      return c.json({ site: name, signingKey }, outcome.kind === "added" ? 201 : 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/revoke",
      operationId: "revokeSite",
      summary: "Take a site's access away",
      tags: ["sites"],
      ...calls.changes,
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
      if (!(await deps.registry.revoke(site, c.var.actor.name))) throw siteUnknown(site);
      deps.siteChanged(site);
      return c.json({ site, revoked: true }, 200);
    },
  );

  return app;
}
