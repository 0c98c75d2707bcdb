import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { may } from "../auth/actor.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import { decisionRoles, judge, listRollouts, viewRollout } from "../rollout/views.ts";
import type { Storage } from "../storage/storage.ts";
import { type Guards, requireRole } from "./access.ts";
import { environmentName } from "./api/common.ts";
import { rolloutDecision, rolloutsAnswer, rolloutView } from "./api/rollouts.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface RolloutRouteDeps {
  readonly rollouts: Rollouts;
  /** What only reads. */
  readonly reading: Storage;
  readonly guards: Guards;
}

const rolloutPath = z.object({ number: z.coerce.number().int().min(1) });
const rolloutsQuery = z.object({
  environment: environmentName.optional(),
  change: z.coerce.number().int().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});

/** Rollouts: what they are at, and what people decide about them. */
export function rolloutRoutes({ guards, ...deps }: RolloutRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);

  app.openapi(
    createRoute({
      method: "get",
      path: "/rollouts",
      operationId: "listRollouts",
      summary: "Rollouts, the newest first",
      tags: ["rollouts"],
      ...calls.reads,
      request: { query: rolloutsQuery },
      responses: { 200: jsonAnswer("Rollouts", rolloutsAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => {
      const { actor } = c.var;
      requireRole(actor, "viewer");
      const all = await listRollouts(deps.reading, c.req.valid("query"));
      return c.json({ rollouts: all.filter(({ environment }) => may(actor, "viewer", environment)) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/rollouts/{number}",
      operationId: "getRollout",
      summary: "A rollout with its waves, its sites and what happened",
      tags: ["rollouts"],
      ...calls.reads,
      request: { params: rolloutPath },
      responses: { 200: jsonAnswer("The rollout", rolloutView), ...problems(...callerProblems, "invalid", "not-found") },
    }),
    async (c) => c.json(await view(c.req.valid("param").number, c.var.actor), 200),
  );

  const view = async (number: number, actor: Parameters<typeof viewRollout>[2]) => {
    const found = await viewRollout(deps.reading, number, actor);
    if (!found) throw new ProblemError("not-found", `there is no rollout ${number}`);
    requireRole(actor, "viewer", found.environment);
    return found;
  };

  const decisions = {
    pause: "Tell no further site, and let no gate pass; what fails is put back all the same",
    resume: "Go on. A wave that could not be watched is passed by this",
    abort: "Put back every site that was told",
  } as const;
  for (const decision of ["pause", "resume", "abort"] as const) {
    app.openapi(
      createRoute({
        method: "post",
        path: `/rollouts/{number}/${decision}`,
        operationId: `${decision}Rollout`,
        summary: decisions[decision],
        tags: ["rollouts"],
        ...calls.sends,
        request: { params: rolloutPath, body: jsonBody(rolloutDecision) },
        responses: {
          200: jsonAnswer("As it is now", rolloutView),
          ...problems(...callerProblems, ...bodyProblems, "not-found", "conflict"),
        },
      }),
      async (c) => {
        const { number } = c.req.valid("param");
        const { actor } = c.var;
        const reason = c.req.valid("json").reason.trim();
        const { environment } = await view(number, actor);
        requireRole(actor, decisionRoles[decision], environment);
        if (decision === "abort" && reason === "")
          throw new ProblemError("invalid", "reason: say why: it goes with every site that is put back");
        const outcome = await deps.rollouts.decide(number, decision, { actor: actor.name, reason });
        if (outcome.kind === "refused") {
          const why = judge(decision, outcome.state, environment, actor).reason ?? outcome.state;
          throw new ProblemError("conflict", `rollout ${number}: ${why}`);
        }
        return c.json(await view(number, actor), 200);
      },
    );
  }

  return app;
}
