import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { serveStatic } from "@hono/node-server/serve-static";
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { Env } from "hono";
import { HTTPException } from "hono/http-exception";
import { secureHeaders } from "hono/secure-headers";
import { z } from "zod";
import type { GatewayTokens } from "../auth/gateway-token.ts";
import type { Operators } from "../auth/operators.ts";
import type { Identity } from "../storage/folder.ts";
import { isUnstorableText } from "../storage/postgres.ts";
import { isOutage } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type ActorEnv, type GatewayEnv, gatewayOnly, makeGuards } from "./access.ts";
import { type AdminRouteDeps, adminRoutes } from "./admin-routes.ts";
import { type AuditRouteDeps, auditRoutes } from "./audit-routes.ts";
import type { Calls } from "./calls.ts";
import { type ChangeRouteDeps, changeRoutes } from "./change-routes.ts";
import { type DocumentRouteDeps, documentRoutes } from "./document-routes.ts";
import { type EffectiveRouteDeps, effectiveRoutes } from "./effective-routes.ts";
import { type EnrollmentRouteDeps, enrollmentRoutes } from "./enrollment-routes.ts";
import { type GatewayRouteDeps, gatewayRoutes } from "./gateway-routes.ts";
import { jsonBodies } from "./json-body.ts";
import { type KeyRouteDeps, keyRoutes } from "./key-routes.ts";
import { type LossRouteDeps, lossRoutes } from "./loss-routes.ts";
import { makeOneAtATime } from "./one-at-a-time.ts";
import { jsonAnswer, makeRouter, security, serveOpenApi } from "./openapi.ts";
import { type PeopleRouteDeps, peopleRoutes } from "./people-routes.ts";
import { frameworkProblem, ProblemError, problemResponse } from "./problem.ts";
import { type ReadRouteDeps, readRoutes } from "./read-routes.ts";
import { type RecoveryRouteDeps, recoveryRoutes } from "./recovery-routes.ts";
import { type RehearsalRouteDeps, rehearsalGatewayRoutes, rehearsalRoutes } from "./rehearsal-routes.ts";
import { gatewayReleaseRoutes, type ReleaseRouteDeps, releaseRoutes } from "./release-routes.ts";
import { type RolloutRouteDeps, rolloutRoutes } from "./rollout-routes.ts";
import { schemaRoutes } from "./schema-routes.ts";
import { gatewaySecretRoutes, type SecretRouteDeps, secretRoutes } from "./secret-routes.ts";
import { type SessionRouteDeps, sessionRoutes } from "./session-routes.ts";
import { type SigningKeyRouteDeps, signingKeyRoutes } from "./signing-key-routes.ts";
import { sourcesBehind } from "./source.ts";

export interface AppDeps
  extends GatewayRouteDeps,
    Omit<ReadRouteDeps, "guards">,
    Omit<EffectiveRouteDeps, "guards">,
    Omit<DocumentRouteDeps, "guards" | "oneAtATime">,
    Omit<ChangeRouteDeps, "guards" | "oneAtATime">,
    Omit<AdminRouteDeps, "guards">,
    Omit<SigningKeyRouteDeps, "guards">,
    Omit<EnrollmentRouteDeps, "guards">,
    Omit<KeyRouteDeps, "guards">,
    Omit<LossRouteDeps, "guards">,
    RehearsalRouteDeps,
    Omit<RolloutRouteDeps, "guards">,
    Omit<ReleaseRouteDeps, "guards">,
    Omit<PeopleRouteDeps, "guards">,
    Omit<SessionRouteDeps, "guards" | "sourceOf">,
    Omit<AuditRouteDeps, "guards">,
    Omit<RecoveryRouteDeps, "guards">,
    Omit<SecretRouteDeps, "guards"> {
  readonly operators: Operators;
  /** Proxies of ours, whose word on where a call comes from counts. */
  readonly trustedProxies: readonly string[];
  readonly tokens: GatewayTokens;
  readonly calls: Calls;
  readonly identity: Identity;
  /** Of this program. */
  readonly version: string | undefined;
  readonly consoleDir: string | undefined;
  readonly log: Logger;
}

/** Everything that central answers, all errors as problem details. */
export function makeApp(deps: AppDeps): OpenAPIHono {
  const app = makeRouter<Env>();
  const { identity } = deps;
  app.onError((error, c) => {
    if (error instanceof ProblemError) return problemResponse(c, error);
    if (error instanceof HTTPException) return problemResponse(c, frameworkProblem(error));
    // nobody is there any more to answer
    if (c.req.raw.signal.aborted) return c.body(null, 400);
    if (isUnstorableText(error)) return problemResponse(c, new ProblemError("invalid", "a text holds a zero character"));
    if (isOutage(error)) {
      deps.log.error(
        { event: "http.storage.failed", err: error, path: c.req.path },
        "the ledger's storage fails, a request was turned away",
      );
      return problemResponse(
        c,
        new ProblemError("busy", "central's storage cannot write now", { headers: { "retry-after": "5" } }),
      );
    }
    deps.log.error({ event: "http.request.failed", err: error, method: c.req.method, path: c.req.path }, "a request failed");
    return problemResponse(c, new ProblemError("internal", "the reason is in central's log"));
  });
  app.notFound((c) => problemResponse(c, new ProblemError("not-found", `${c.req.method} ${c.req.path}`)));
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'self'"],
        // the console's components set their sizes in style attributes
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", "data:"],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
      referrerPolicy: "no-referrer",
      strictTransportSecurity: false,
      xFrameOptions: "DENY",
    }),
  );
  app.get("/health", (c) => c.json({ status: "up", version: deps.version, incarnation: deps.incarnation }));
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/signing-key",
      operationId: "getSigningKey",
      summary: "The key that central signs bundles with",
      tags: ["about"],
      security: security.nobody,
      responses: {
        200: jsonAnswer("SPKI in PEM", z.object({ kid: z.string(), algorithm: z.literal("EdDSA"), publicKey: z.string() })),
      },
    }),
    (c) => c.json({ kid: identity.signing.kid, algorithm: "EdDSA" as const, publicKey: identity.signing.publicKey }, 200),
  );
  app.use("/v1/*", async (c, next) => {
    c.header("cache-control", "no-store");
    await next();
  });
  const json = jsonBodies(callerOf);
  const guards = makeGuards({ ...deps, json });
  app.route("/", sessionRoutes({ ...deps, guards, sourceOf: sourcesBehind(deps.trustedProxies) }));
  app.route("/v1", peopleRoutes({ ...deps, guards }));
  app.route("/v1", auditRoutes({ ...deps, guards }));
  app.route("/v1", adminRoutes({ ...deps, guards }));
  app.route("/v1", signingKeyRoutes({ ...deps, guards }));
  app.route("/v1", enrollmentRoutes({ ...deps, guards }));
  app.route("/v1", keyRoutes({ ...deps, guards }));
  app.route("/v1", lossRoutes({ ...deps, guards }));
  app.route("/v1", readRoutes({ ...deps, guards }));
  app.route("/v1", recoveryRoutes({ ...deps, guards }));
  const oneAtATime = makeOneAtATime();
  app.route("/v1", documentRoutes({ ...deps, guards, oneAtATime }));
  app.route("/v1", changeRoutes({ ...deps, guards, oneAtATime }));
  app.route("/v1", rolloutRoutes({ ...deps, guards }));
  app.route("/v1", releaseRoutes({ ...deps, guards }));
  app.route("/v1", schemaRoutes());
  app.route("/v1", effectiveRoutes({ ...deps, guards }));
  app.route("/v1", rehearsalRoutes({ ...deps, guards }));
  app.route("/v1", secretRoutes({ ...deps, guards }));
  const gateway = gatewayOnly(deps);
  for (const path of ["sessions", "status"]) app.use(`/v1/sites/:site/${path}`, deps.calls.counted());
  for (const path of ["lanes/*", "bundles/*", "releases/*", "secrets", "dry-runs/:id/candidate"])
    app.use(`/v1/sites/:site/${path}`, gateway as never);
  for (const path of ["sessions", "downlink", "status", "dry-runs/:id/result", "shadow-reports"])
    app.use(`/v1/sites/:site/${path}`, gateway as never, json);
  app.route("/v1/sites/:site", gatewayRoutes(deps));
  app.route("/v1/sites/:site", gatewaySecretRoutes(deps));
  app.route("/v1/sites/:site", gatewayReleaseRoutes(deps));
  app.route("/v1/sites/:site", rehearsalGatewayRoutes(deps));
  serveOpenApi(app);
  app.all("/v1/*", (c) => c.notFound());
  if (deps.consoleDir !== undefined) serveConsole(app, deps.consoleDir);
  return app;
}

/** A gateway's bodies count for its site, a person's for that person. */
function callerOf(variables: object): string {
  const { site, actor } = variables as Partial<GatewayEnv["Variables"] & ActorEnv["Variables"]>;
  return site === undefined ? `person ${actor?.name ?? ""}` : `site ${site.name}`;
}

/** The console's files; a path that is none of them is a page of the console, which finds its way itself. */
function serveConsole(app: OpenAPIHono, folder: string): void {
  app.use("/*", serveStatic({ root: folder }));
  app.get("/*", async (c) => c.html(await readFile(join(folder, "index.html"), "utf8")));
}
