import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { Effective } from "../document/effective.ts";
import { type Guards, requireRole, siteUnknown } from "./access.ts";
import { effectiveView } from "./api/sites.ts";
import { refusing } from "./change-routes.ts";
import { callerProblems, callsOf, jsonAnswer, makeRouter, problems } from "./openapi.ts";

export interface EffectiveRouteDeps {
  readonly guards: Guards;
  readonly effective: Effective;
}

/** What a site runs and why: whoever is signed in may read it. */
export function effectiveRoutes({ guards, effective }: EffectiveRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  app.openapi(
    createRoute({
      method: "get",
      path: "/sites/{site}/effective",
      operationId: "getEffectiveConfiguration",
      summary: "A site's configuration as it should run, and which document each value comes from",
      tags: ["sites"],
      ...calls.reads,
      request: { params: z.object({ site: z.string().max(128) }) },
      responses: {
        200: jsonAnswer("Every value once, with what it overrides", effectiveView),
        ...problems(...callerProblems, "site-unknown", "invalid", "busy"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { site } = c.req.valid("param");
      const view = await refusing(() => effective.view(site));
      if (!view) throw siteUnknown(site);
      return c.json(view, 200);
    },
  );
  return app;
}
