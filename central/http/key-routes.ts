import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { decodeProtectedHeader } from "jose";
import { z } from "zod";
import {
  type Clock,
  enrollAnswer,
  enrollBody,
  enrollmentRequest,
  enrollmentState,
  introduceAnswer,
  introduceBody,
  introduction,
  rotationProof,
  signingChain,
  toInstant,
} from "../../protocol/index.ts";
import type { Role } from "../auth/actor.ts";
import type { GatewayTokens } from "../auth/gateway-token.ts";
import type { Enrollment, EnrollOutcome } from "../site/enrollment.ts";
import { type GatewayKey, type GatewayKeys, isLive } from "../site/keys.ts";
import type { Presence } from "../site/presence.ts";
import { isSameSealKey, readSigned } from "../site/proof.ts";
import { normalKey } from "../site/public-key.ts";
import type { SiteRegistry, SiteRow } from "../site/registry.ts";
import type { SiteFiles } from "../site/site-file.ts";
import type { SigningKeys } from "../storage/signing-keys.ts";
import { type ActorEnv, type GatewayEnv, type Guards, gatewayOnly, requireRole } from "./access.ts";
import {
  enrollmentToken,
  enrollmentTokenBody,
  gatewayKeyList,
  type gatewayKeyView,
  keyDecided,
  rotatedSigningKey,
  rotateSigningKeyBody,
  siteFileView,
} from "./api/sites.ts";
import { bodyProblems, callerProblems, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";
import { rateBounded, smallBody } from "./rate.ts";

export interface KeyRouteDeps {
  readonly registry: SiteRegistry;
  readonly tokens: GatewayTokens;
  readonly presence: Presence;
  readonly keys: GatewayKeys;
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
const keyPath = z.object({ site: z.string().max(128), fingerprint: z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits") });
const setsUp: readonly Role[] = ["admin", "engineer"];
const maxEnrollBytes = 16 * 1024;
const enrollRate = { atOnce: 60, perSecond: 10 } as const;

/** Keys: of gateways, from enrollment to revocation, and of central itself. */
export function keyRoutes({ guards, ...deps }: KeyRouteDeps) {
  const app = makeRouter();
  const { registry, keys, enrollment, signingKeys, siteFiles, siteChanged } = deps;

  /** The site, for whoever may set it up. */
  const siteFor = async (c: Context<ActorEnv>, name: string, wanted: Role | readonly Role[] = setsUp): Promise<SiteRow> => {
    requireRole(c.var.actor, wanted);
    const site = await registry.find(name);
    if (!site) throw new ProblemError("site-unknown", `there is no site "${name}"; plantgate site create makes one`);
    requireRole(c.var.actor, wanted, site.environment);
    return site;
  };

  app.openapi(
    createRoute({
      method: "get",
      path: "/signing-keys",
      operationId: "getSigningKeys",
      summary: "All keys that central ever signed with, each introduced by the one before it",
      tags: ["keys"],
      security: security.nobody,
      responses: { 200: jsonAnswer("The newest last", signingChain) },
    }),
    (c) => c.json({ keys: [...signingKeys.chain] }, 200),
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/signing-keys/rotate",
      operationId: "rotateSigningKey",
      summary: "Sign with a new key from now on",
      tags: ["keys"],
      security: security.changes,
      middleware: guards.body,
      request: { body: jsonBody(rotateSigningKeyBody) },
      responses: {
        200: jsonAnswer("Gateways learn of it with their next report", rotatedSigningKey),
        ...problems(...callerProblems, ...bodyProblems, "conflict"),
      },
    }),
    async (c) => {
      // every site's gateway follows it
      requireRole(c.var.actor, "admin", "*");
      const outcome = await signingKeys.rotate(c.var.actor.name, c.req.valid("json").overlapSeconds * 1000);
      if (outcome.kind === "overtaken")
        throw new ProblemError(
          "conflict",
          "the signing key was changed just now by somebody else; look at it before you ask again",
        );
      if (outcome.kind === "waits") {
        const where = `copy ${outcome.file} into the data folder of each of them, then ask again: ${outcome.replicas.join(", ")}`;
        throw new ProblemError("conflict", `the new key ${outcome.kid} lies ready; other replicas have not got it: ${where}`);
      }
      const { kid, before, overlapUntil } = outcome;
      return c.json({ kid, before, overlapUntil: toInstant(overlapUntil) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/enrollment-tokens",
      operationId: "makeEnrollmentToken",
      summary: "A token by which one gateway enrolls for this site",
      tags: ["keys"],
      security: security.changes,
      middleware: guards.body,
      request: { params: sitePath, body: jsonBody(enrollmentTokenBody) },
      responses: {
        201: jsonAnswer("The token is nowhere else: only its hash is kept", enrollmentToken),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const site = await siteFor(c, c.req.valid("param").site);
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
      middleware: [rateBounded(() => deps.clock, enrollRate), smallBody(maxEnrollBytes)] as const,
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
      security: security.changes,
      middleware: guards.body,
      request: { params: sitePath, query: fileQuery, body: jsonBody(enrollmentRequest) },
      responses: {
        201: jsonAnswer("The answer to carry to the plant; the key signs for the site from now on", siteFileView),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { name } = await siteFor(c, c.req.valid("param").site);
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
      security: security.reads,
      middleware: guards.signedIn,
      request: { params: sitePath, query: fileQuery },
      responses: { 200: jsonAnswer("A compact JWS", siteFileView), ...problems(...callerProblems, "site-unknown", "invalid") },
    }),
    async (c) => {
      const { name } = await siteFor(c, c.req.valid("param").site);
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
      path: "/sites/{site}/keys",
      operationId: "listGatewayKeys",
      summary: "A site's keys",
      tags: ["keys"],
      security: security.reads,
      middleware: guards.signedIn,
      request: { params: sitePath },
      responses: { 200: jsonAnswer("The newest first", gatewayKeyList), ...problems(...callerProblems, "site-unknown") },
    }),
    async (c) => {
      const { name } = await siteFor(c, c.req.valid("param").site, "viewer");
      const now = deps.clock.now();
      return c.json({ keys: (await keys.list(name)).map((key) => toView(key, now)) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/keys/{fingerprint}/confirm",
      operationId: "confirmGatewayKey",
      summary: "The fingerprint is the one that the gateway shows: let it in",
      tags: ["keys"],
      security: security.changes,
      middleware: guards.signedIn,
      request: { params: keyPath },
      responses: {
        200: jsonAnswer("It alone signs for the site from now on", keyDecided),
        ...problems(...callerProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { site, fingerprint } = c.req.valid("param");
      await siteFor(c, site);
      const outcome = await keys.confirm(site, fingerprint, c.var.actor.name);
      if (outcome.kind === "other") throw new ProblemError("conflict", outcome.detail);
      siteChanged(site);
      return c.json({ site, fingerprint, state: "active" as const }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/keys/{fingerprint}/revoke",
      operationId: "revokeGatewayKey",
      summary: "Refuse this key from now on, for good",
      tags: ["keys"],
      security: security.changes,
      middleware: guards.signedIn,
      request: { params: keyPath },
      responses: {
        200: jsonAnswer("Open requests that it signed end within 5 s", keyDecided),
        ...problems(...callerProblems, "site-unknown", "not-found"),
      },
    }),
    async (c) => {
      const { site, fingerprint } = c.req.valid("param");
      await siteFor(c, site);
      if (!(await keys.revoke(site, fingerprint, c.var.actor.name)))
        throw new ProblemError("not-found", `site "${site}" has no key ${fingerprint}`);
      siteChanged(site);
      return c.json({ site, fingerprint, state: "revoked" as const }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/rotate-key",
      operationId: "askKeyRotation",
      summary: "Ask the site's gateway for a new key",
      tags: ["keys"],
      security: security.changes,
      middleware: guards.signedIn,
      request: { params: sitePath },
      responses: {
        202: jsonAnswer("It makes one with its next report", z.object({ site: z.string() })),
        ...problems(...callerProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { name } = await siteFor(c, c.req.valid("param").site);
      if (!(await keys.askRotation(name, c.var.actor.name)))
        throw new ProblemError("conflict", `site "${name}" has no active key; enroll its gateway first`);
      return c.json({ site: name }, 202);
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
      if (!judged.ok) throw new ProblemError(judged.code, judged.detail);
      const { fingerprint, state } = judged.key;
      return c.json({ site: judged.site.name, fingerprint, state: state as "pending" }, 200);
    },
  );

  app.route("/", gatewayKeyRoutes(deps));
  return app;
}

/** What a gateway calls with the key that it has. */
function gatewayKeyRoutes(deps: Omit<KeyRouteDeps, "guards">) {
  const app = makeRouter<GatewayEnv>();
  app.openapi(
    createRoute({
      method: "post",
      path: "/sites/{site}/keys",
      operationId: "introduceGatewayKey",
      summary: "Change to a new key, introduced by the one that signs this call",
      tags: ["keys"],
      security: security.gateway,
      middleware: [gatewayOnly(deps), smallBody(maxEnrollBytes)] as const,
      request: { params: sitePath, body: jsonBody(introduceBody) },
      responses: {
        200: jsonAnswer("Both are taken until `retiresAt`; the same call again changes nothing", introduceAnswer),
        ...problems("not-signed", "not-allowed", "site-unknown", "invalid", "unsupported-media", "too-large", "conflict"),
      },
    }),
    async (c) => {
      const { site, key } = c.var;
      const told = await readIntroduction(c.req.valid("json").introduction, key);
      if (!told || told.site !== site.name)
        throw new ProblemError("invalid", "introduction: by the key of this call, for this site, with the new key's own proof");
      const outcome = await deps.keys.introduce(
        site.name,
        key.fingerprint,
        { publicKey: told.publicKey, sealKey: told.sealKey },
        told.overlapSeconds * 1000,
      );
      if (outcome.kind === "refused") throw new ProblemError("conflict", outcome.detail);
      deps.siteChanged(site.name);
      return c.json(
        { fingerprint: outcome.key.fingerprint, state: "active" as const, retiresAt: toInstant(outcome.retiresAt) },
        200,
      );
    },
  );
  return app;
}

/** What the old key says of the new one, where the new one says the same of itself. */
async function readIntroduction(jws: string, by: GatewayKey): Promise<z.infer<typeof introduction> | undefined> {
  const told = await readSigned(jws, by.public_key, introduction);
  if (!told || told.by !== by.fingerprint || kidIn(jws) !== by.fingerprint) return undefined;
  const publicKey = normalKey(told.publicKey);
  const proven = publicKey === undefined ? undefined : await readSigned(told.proof, publicKey, rotationProof);
  if (publicKey === undefined || !proven) return undefined;
  const isSame = proven.site === told.site && proven.by === told.by && proven.publicKey === told.publicKey;
  return isSame && isSameSealKey(proven.sealKey, told.sealKey) ? { ...told, publicKey } : undefined;
}

function kidIn(jws: string): string | undefined {
  try {
    return decodeProtectedHeader(jws).kid;
  } catch {
    return undefined;
  }
}

/** @throws ProblemError for anything but a key that was taken */
function enrolled(outcome: EnrollOutcome): EnrollOutcome & { kind: "enrolled" } {
  if (outcome.kind === "enrolled") return outcome;
  throw new ProblemError(outcome.kind === "refused" ? "not-allowed" : outcome.kind, outcome.detail);
}

function originOf(c: Context, told: string | undefined): string {
  return new URL(told ?? c.req.url).origin;
}

function toView(key: GatewayKey, now: number): z.infer<typeof gatewayKeyView> {
  const instantOf = (at: number | null): string | null => (at === null ? null : toInstant(at));
  const over = key.state === "retiring" && !isLive(key, now);
  return {
    fingerprint: key.fingerprint,
    state: (over ? "retired" : key.state) as z.infer<typeof gatewayKeyView>["state"],
    origin: key.origin as z.infer<typeof gatewayKeyView>["origin"],
    createdAt: toInstant(key.created_at),
    confirmedAt: instantOf(key.confirmed_at),
    confirmedBy: key.confirmed_by,
    retiresAt: instantOf(key.retires_at),
    rotationAsked: key.rotate_asked_at !== null,
    seals: key.seal_key !== null,
  };
}
