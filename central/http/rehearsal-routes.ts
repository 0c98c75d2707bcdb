import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { z } from "zod";
import { dryRunAnswer, shadowReport } from "../../protocol/index.ts";
import type { Changes } from "../change/changes.ts";
import type { DryRuns } from "../rehearsal/dry-runs.ts";
import type { ShadowReports } from "../rehearsal/shadow-reports.ts";
import type { SiteRegistry } from "../site/registry.ts";
import { type GatewayEnv, type Guards, siteFor } from "./access.ts";
import { dryRunBody, dryRunsAnswer, dryRunView, shadowAnswer } from "./api/sites.ts";
import { refusing } from "./change-routes.ts";
import {
  bodyProblems,
  callerProblems,
  callsOf,
  gatewayProblems,
  jsonAnswer,
  jsonBody,
  makeRouter,
  problems,
  security,
} from "./openapi.ts";
import { ProblemError, parseBody } from "./problem.ts";

export interface RehearsalRouteDeps {
  readonly registry: SiteRegistry;
  readonly changes: Changes;
  readonly dryRuns: DryRuns;
  readonly shadowReports: ShadowReports;
  /** Told with the site: its open poll is answered now. */
  readonly siteChanged: (site: string) => void;
}

const sitePath = z.object({ site: z.string() });
const runPath = z.object({ site: z.string(), id: z.string().max(64) });
const maxReportBytes = 4 * 1024 * 1024;
/** What is told of dry runs and of flows in shadow holds data of messages. */
const readers = ["engineer", "approver"] as const;

/** What people ask of rehearsals. */
export function rehearsalRoutes({ guards, ...deps }: RehearsalRouteDeps & { readonly guards: Guards }) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const reads = { method: "get" as const, tags: ["sites"], ...calls.reads };

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/dry-runs",
      operationId: "askDryRun",
      summary: "Have the site's gateway run a change on the inputs that it recorded; nothing is sent anywhere",
      tags: ["sites"],
      ...calls.sends,
      request: { params: sitePath, body: jsonBody(dryRunBody) },
      responses: {
        202: jsonAnswer("It is asked; the result is there when its state is done", dryRunView),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown", "not-found", "conflict"),
      },
    }),
    async (c) => {
      const { site } = c.req.valid("param");
      await siteFor(deps.registry, c.var.actor, site, readers);
      const { change, messages } = c.req.valid("json");
      const { planned, problems: found } = await refusing(() => deps.changes.candidate(change, site));
      if (!planned) {
        if (found.length > 0)
          throw new ProblemError("invalid", `change ${change} has problems, so it cannot be run`, { extra: { problems: found } });
        throw new ProblemError(
          "invalid",
          `change ${change} makes nothing of site "${site}": none of its documents has a part in it`,
        );
      }
      const asked = await deps.dryRuns.ask(site, change, planned, messages, c.var.actor);
      if (!asked)
        throw new ProblemError("conflict", `site "${site}" has not answered several dry runs yet; wait for their results`);
      deps.siteChanged(site);
      return c.json({ ...asked, result: null }, 202);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      path: "/sites/{site}/dry-runs",
      operationId: "listDryRuns",
      summary: "The site's dry runs, without their results",
      request: { params: sitePath },
      responses: { 200: jsonAnswer("The newest first", dryRunsAnswer), ...problems(...callerProblems, "site-unknown") },
    }),
    async (c) => {
      const { site } = c.req.valid("param");
      await siteFor(deps.registry, c.var.actor, site, readers);
      return c.json({ dryRuns: await deps.dryRuns.list(site) }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      path: "/sites/{site}/dry-runs/{id}",
      operationId: "getDryRun",
      summary: "A dry run and, once it is done, what differs",
      request: { params: runPath },
      responses: {
        200: jsonAnswer("As it stands", dryRunView),
        ...problems(...callerProblems, "site-unknown", "not-found"),
      },
    }),
    async (c) => {
      const { site, id } = c.req.valid("param");
      await siteFor(deps.registry, c.var.actor, site, readers);
      const found = await deps.dryRuns.find(site, id);
      if (!found) throw new ProblemError("not-found", `site "${site}" has no dry run ${id}`);
      return c.json(found, 200);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      path: "/sites/{site}/shadow",
      operationId: "getShadow",
      summary: "The site's flows in shadow: what they would have done otherwise than the live ones",
      request: { params: sitePath },
      responses: {
        200: jsonAnswer("As the gateway reported last", shadowAnswer),
        ...problems(...callerProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const { site } = c.req.valid("param");
      await siteFor(deps.registry, c.var.actor, site, readers);
      return c.json({ flows: await deps.shadowReports.of(site) }, 200);
    },
  );

  return app;
}

/** What a gateway calls for them; mounted under its site. */
export function rehearsalGatewayRoutes(deps: Pick<RehearsalRouteDeps, "dryRuns" | "shadowReports">): OpenAPIHono<GatewayEnv> {
  const app = makeRouter<GatewayEnv>();
  describeRoutes(app);

  // a gateway cuts what it says long before
  const small: MiddlewareHandler<GatewayEnv> = async (c, next) => {
    if (Number(c.req.header("content-length") ?? 0) > maxReportBytes)
      throw new ProblemError("too-large", `a result or report has ${maxReportBytes} bytes at most`);
    await next();
  };

  app.get("/dry-runs/:id/candidate", async (c) => {
    const id = c.req.param("id");
    const candidate = await deps.dryRuns.candidate(c.var.site.name, id);
    if (!candidate) throw new ProblemError("not-found", `no dry run ${id} of site "${c.var.site.name}" waits for an answer`);
    return c.json(candidate);
  });

  app.post("/dry-runs/:id/result", small, async (c) => {
    const answer = await parseBody(c, dryRunAnswer);
    const id = c.req.param("id");
    const outcome = await deps.dryRuns.answer(c.var.site.name, id, answer);
    if (outcome === "unknown") throw new ProblemError("not-found", `site "${c.var.site.name}" has no dry run ${id}`);
    if (outcome === "answered") throw new ProblemError("conflict", `dry run ${id} has ended already`);
    return c.json({ id });
  });

  app.post("/shadow-reports", small, async (c) => {
    const report = await parseBody(c, shadowReport);
    await deps.shadowReports.take(c.var.site.name, report);
    return c.json({ flows: report.flows.length });
  });

  return app;
}

function describeRoutes({ openAPIRegistry: registry }: OpenAPIHono<GatewayEnv>): void {
  const shared = { tags: ["gateways"], security: security.gateway };
  registry.registerPath({
    ...shared,
    method: "get",
    path: "/dry-runs/{id}/candidate",
    operationId: "getDryRunCandidate",
    summary: "The configuration to run on recorded inputs",
    request: { params: runPath },
    responses: {
      200: jsonAnswer("A compact JWS over a candidate, which is no bundle", z.object({ jws: z.string() })),
      ...problems(...gatewayProblems, "not-found"),
    },
  });
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/dry-runs/{id}/result",
    operationId: "answerDryRun",
    summary: "What the candidate makes of them",
    request: { params: runPath, body: jsonBody(dryRunAnswer) },
    responses: {
      200: jsonAnswer("Taken", z.object({ id: z.string() })),
      ...problems(...gatewayProblems, ...bodyProblems, "not-found", "conflict"),
    },
  });
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/shadow-reports",
    operationId: "reportShadow",
    summary: "How the flows in shadow stand",
    request: { params: sitePath, body: jsonBody(shadowReport) },
    responses: {
      200: jsonAnswer("Taken", z.object({ flows: z.int() })),
      ...problems(...gatewayProblems, ...bodyProblems),
    },
  });
}
