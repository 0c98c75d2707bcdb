import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import { type Clock, enrollAnswer, enrollBody, enrollmentRequest, enrollmentState, toInstant } from "../../protocol/index.ts";
import type { GatewayTokens } from "../auth/gateway-token.ts";
import type { Enrollment, EnrollOutcome } from "../site/enrollment.ts";
import type { SiteRegistry } from "../site/registry.ts";
import type { SiteFiles } from "../site/site-file.ts";
import type { SigningKeys } from "../storage/signing-keys.ts";
import { type Guards, refusalOf, setsUp, siteFor } from "./access.ts";
import { enrollmentToken, enrollmentTokenBody, siteFileView } from "./api/sites.ts";
import { maxKeyBytes, smallBody } from "./json-body.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";
import { rateBounded } from "./rate.ts";

export interface EnrollmentRouteDeps {
  readonly registry: SiteRegistry;
  readonly tokens: GatewayTokens;
  readonly enrollment: Enrollment;
  readonly signingKeys: SigningKeys;
  readonly siteFiles: SiteFiles;
  readonly clock: Clock;
  readonly guards: Guards;
  /** Told with the site after its keys changed. */
  readonly siteChanged: (site: string) => void;
}

const sitePath = z.object({ site: z.string().max(128) });
/** Central does not know under which address plants reach it: whoever asks has come by one. */
const fileQuery = z.object({ central: z.url({ protocol: /^https?$/ }).optional() });
const enrollRate = { atOnce: 60, perSecond: 10 } as const;

/** How a gateway comes to a site: with a token, or by files that a person carries where there is no link. */
export function enrollmentRoutes({ guards, ...deps }: EnrollmentRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const { registry, enrollment, signingKeys, siteFiles, siteChanged } = deps;

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/enrollment-tokens",
      operationId: "makeEnrollmentToken",
      summary: "A token by which one gateway enrolls for this site",
      tags: ["keys"],
      ...calls.sends,
      request: { params: sitePath, body: jsonBody(enrollmentTokenBody) },
      responses: {
        201: jsonAnswer("The token is nowhere else: only its hash is kept", enrollmentToken),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const site = await siteFor(registry, c.var.actor, c.req.valid("param").site, setsUp);
      const { token, expiresAt } = await enrollment.makeToken(site.name, c.req.valid("json").lifeSeconds, c.var.actor.name);
      return c.json({ token, site: site.name, expiresAt: toInstant(expiresAt) }, 201);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/enroll",
      operationId: "enroll",
      summary: "Bring a gateway's keys, with an enrollment token",
      tags: ["keys"],
      security: security.nobody,
      middleware: [rateBounded(() => deps.clock, enrollRate), smallBody(maxKeyBytes)] as const,
      request: { body: jsonBody(enrollBody) },
      responses: {
        200: jsonAnswer("The key waits until a person has compared its fingerprint", enrollAnswer),
        ...problems("not-allowed", "conflict", "invalid", "unsupported-media", "too-large", "limited"),
      },
    }),
    async (c) => {
      const { site, key } = enrolled(await enrollment.enroll(c.req.valid("json")));
      if (key.state !== "pending" && key.state !== "active")
        throw new ProblemError("not-allowed", `this gateway's key is ${key.state}`);
      siteChanged(site);
      return c.json(
        { site, fingerprint: key.fingerprint, state: key.state as "pending", signingKeys: [...signingKeys.chain] },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/enrollment-requests",
      operationId: "enrollByFile",
      summary: "Take the keys of a request that a person brought from the plant",
      tags: ["keys"],
      ...calls.sends,
      request: { params: sitePath, query: fileQuery, body: jsonBody(enrollmentRequest) },
      responses: {
        201: jsonAnswer("The answer to carry to the plant; the key signs for the site from now on", siteFileView),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { name } = await siteFor(registry, c.var.actor, c.req.valid("param").site, setsUp);
      const request = c.req.valid("json");
      enrolled(await enrollment.pinRequest(name, request, c.var.actor.name));
      siteChanged(name);
      const made = await siteFiles.make(name, {
        central: originOf(c, c.req.valid("query").central),
        actor: c.var.actor.name,
        nonce: request.nonce,
      });
      return c.json({ site: name, ...made }, 201);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/sites/{site}/file",
      operationId: "exportSite",
      summary: "Configuration and sealed secrets in a file, for a plant without a link",
      tags: ["keys"],
      ...calls.reads,
      request: { params: sitePath, query: fileQuery },
      responses: { 200: jsonAnswer("A compact JWS", siteFileView), ...problems(...callerProblems, "site-unknown", "invalid") },
    }),
    async (c) => {
      const { name } = await siteFor(registry, c.var.actor, c.req.valid("param").site, setsUp);
      return c.json(
        {
          site: name,
          ...(await siteFiles.make(name, { central: originOf(c, c.req.valid("query").central), actor: c.var.actor.name })),
        },
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/sites/{site}/enrollment",
      operationId: "getEnrollment",
      summary: "Whether a person has confirmed the key that signs this call",
      tags: ["keys"],
      security: security.gateway,
      request: { params: sitePath },
      responses: {
        200: jsonAnswer("A gateway whose key waits may ask nothing else", enrollmentState),
        ...problems("not-signed", "not-allowed", "site-unknown"),
      },
    }),
    async (c) => {
      const judged = await deps.tokens.judge(c.req.header("authorization"), c.req.valid("param").site, { pending: true });
      if (!judged.ok) throw refusalOf(judged);
      const { fingerprint, state } = judged.key;
      return c.json({ site: judged.site.name, fingerprint, state: state as "pending" }, 200);
    },
  );

  return app;
}

/** @throws ProblemError for anything but a key that was taken */
function enrolled(outcome: EnrollOutcome): EnrollOutcome & { kind: "enrolled" } {
  if (outcome.kind === "enrolled") return outcome;
  throw new ProblemError(outcome.kind === "refused" ? "not-allowed" : outcome.kind, outcome.detail);
}

function originOf(c: Context, told: string | undefined): string {
  return new URL(told ?? c.req.url).origin;
}
