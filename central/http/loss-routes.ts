import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import type { Losses } from "../site/losses.ts";
import type { SiteRegistry } from "../site/registry.ts";
import { type Guards, requireRole, requireSite } from "./access.ts";
import { lossesAnswer, sendAgainBody, sentAgain, unconfirmedAnswer } from "./api/losses.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface LossRouteDeps {
  readonly registry: SiteRegistry;
  readonly losses: Losses;
  readonly guards: Guards;
  /** Told with the site after there is something for it. */
  readonly siteChanged: (site: string) => void;
}

const sitePath = z.object({ site: z.string().max(128) });
const pageQuery = z.object({ before: z.coerce.number().int().min(1).optional() });

/** What went with a gateway's disk, and what a person may have sent again. */
export function lossRoutes({ guards, registry, losses, siteChanged }: LossRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const shared = { tags: ["sites"], request: { params: sitePath } };

  app.openapi(
    createRoute({
      ...shared,
      method: "get",
      path: "/sites/{site}/losses",
      operationId: "getLosses",
      summary: "What went with disks of the site's gateway, as ranges",
      ...calls.reads,
      responses: {
        200: jsonAnswer("Lane by lane, and of the downlink", lossesAnswer),
        ...problems(...callerProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const { name } = await requireSite(registry, c.req.valid("param").site);
      return c.json(await losses.of(name), 200);
    },
  );

  app.openapi(
    createRoute({
      ...shared,
      method: "get",
      path: "/sites/{site}/losses/unconfirmed",
      operationId: "listUnconfirmed",
      summary: "Messages that the lost gateway acknowledged, and reported no end of",
      ...calls.reads,
      request: { params: sitePath, query: pageQuery },
      responses: {
        200: jsonAnswer("The newest first", unconfirmedAnswer),
        ...problems(...callerProblems, "site-unknown", "invalid"),
      },
    }),
    async (c) => {
      const { name } = await requireSite(registry, c.req.valid("param").site);
      return c.json(await losses.unconfirmed(name, c.req.valid("query")), 200);
    },
  );

  app.openapi(
    createRoute({
      ...shared,
      method: "post",
      path: "/sites/{site}/losses/send-again",
      operationId: "sendAgain",
      summary: "Hand messages to the site again, marked as sent again",
      ...calls.sends,
      request: { params: sitePath, body: jsonBody(sendAgainBody) },
      responses: {
        200: jsonAnswer("They have new numbers, in their old order", sentAgain),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { name, environment } = await requireSite(registry, c.req.valid("param").site);
      requireRole(c.var.actor, "operator", environment);
      const { sequences, outOfOrder } = c.req.valid("json");
      const outcome = await losses.sendAgain(name, { sequences: [...new Set(sequences)], outOfOrder, actor: c.var.actor.name });
      if (outcome.kind === "unknown")
        throw new ProblemError(
          "conflict",
          `not among what the lost gateway had acknowledged: ${some(outcome.sequences)}; look again`,
        );
      if (outcome.kind === "reported")
        throw new ProblemError(
          "conflict",
          `all deliveries were reported to be over: ${some(outcome.sequences)}; nothing was sent again. Leave these out`,
        );
      if (outcome.kind === "order")
        throw new ProblemError(
          "conflict",
          `later messages of the same key have gone to the site, or wait for it: behind ${some(outcome.sequences)}. Look into the receiving system; with outOfOrder they are sent all the same`,
        );
      siteChanged(name);
      return c.json({ site: name, sent: outcome.count }, 200);
    },
  );

  return app;
}

function some(sequences: readonly number[]): string {
  const shown = sequences.slice(0, 10).join(", ");
  return sequences.length > 10 ? `${shown} and ${sequences.length - 10} more` : shown;
}
