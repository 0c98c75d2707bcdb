import { createRoute } from "@hono/zod-openapi";
import { decodeProtectedHeader } from "jose";
import { z } from "zod";
import { type Clock, introduceAnswer, introduceBody, introduction, rotationProof, toInstant } from "../../protocol/index.ts";
import type { GatewayTokens } from "../auth/gateway-token.ts";
import { type GatewayKey, type GatewayKeys, isLive } from "../site/keys.ts";
import type { Presence } from "../site/presence.ts";
import { isSameSealKey, readSigned } from "../site/proof.ts";
import { normalKey } from "../site/public-key.ts";
import type { SiteRegistry } from "../site/registry.ts";
import type { Sessions } from "../site/sessions.ts";
import { type GatewayEnv, type Guards, gatewayOnly, setsUp, siteFor } from "./access.ts";
import { gatewayKeyList, type gatewayKeyView, keyDecided } from "./api/sites.ts";
import { maxKeyBytes, smallBody } from "./json-body.ts";
import { callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface KeyRouteDeps {
  readonly registry: SiteRegistry;
  readonly tokens: GatewayTokens;
  readonly presence: Presence;
  readonly sessions: Sessions;
  readonly keys: GatewayKeys;
  readonly clock: Clock;
  readonly guards: Guards;
  /** Told with the site after its keys changed. */
  readonly siteChanged: (site: string) => void;
}

const sitePath = z.object({ site: z.string().max(128) });
const keyPath = z.object({ site: z.string().max(128), fingerprint: z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits") });

/** Keys of the sites' gateways, from the confirmation to the revocation. */
export function keyRoutes({ guards, ...deps }: KeyRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const { registry, keys, siteChanged } = deps;

  app.openapi(
    createRoute({
      method: "get",
      path: "/sites/{site}/keys",
      operationId: "listGatewayKeys",
      summary: "A site's keys",
      tags: ["keys"],
      ...calls.reads,
      request: { params: sitePath },
      responses: { 200: jsonAnswer("The newest first", gatewayKeyList), ...problems(...callerProblems, "site-unknown") },
    }),
    async (c) => {
      const { name } = await siteFor(registry, c.var.actor, c.req.valid("param").site, "viewer");
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
      ...calls.changes,
      request: { params: keyPath },
      responses: {
        200: jsonAnswer("It alone signs for the site from now on", keyDecided),
        ...problems(...callerProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { site, fingerprint } = c.req.valid("param");
      await siteFor(registry, c.var.actor, site, setsUp);
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
      ...calls.changes,
      request: { params: keyPath },
      responses: {
        200: jsonAnswer("Open requests that it signed end within 5 s", keyDecided),
        ...problems(...callerProblems, "site-unknown", "not-found"),
      },
    }),
    async (c) => {
      const { site, fingerprint } = c.req.valid("param");
      await siteFor(registry, c.var.actor, site, setsUp);
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
      ...calls.changes,
      request: { params: sitePath },
      responses: {
        202: jsonAnswer("It makes one with its next report", z.object({ site: z.string() })),
        ...problems(...callerProblems, "site-unknown", "conflict"),
      },
    }),
    async (c) => {
      const { name } = await siteFor(registry, c.var.actor, c.req.valid("param").site, setsUp);
      if (!(await keys.askRotation(name, c.var.actor.name)))
        throw new ProblemError("conflict", `site "${name}" has no active key; enroll its gateway first`);
      return c.json({ site: name }, 202);
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
      middleware: [gatewayOnly(deps), smallBody(maxKeyBytes)] as const,
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
        { overlapMs: told.overlapSeconds * 1000, moved: told.moved ?? false },
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
