import type { MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import { type Actor, may, type Role } from "../auth/actor.ts";
import type { GatewayTokens } from "../auth/gateway-token.ts";
import type { Operators } from "../auth/operators.ts";
import type { Presence } from "../site/presence.ts";
import type { SiteRow } from "../site/registry.ts";
import { ProblemError } from "./problem.ts";

export const sessionCookie = "plantgate-session";
export const csrfHeader = "plantgate-csrf";

/** What a call carries once {@link signedIn} let it through. */
export type ActorEnv = { Variables: { actor: Actor } };

/** What stands before a route of people and their tools, as its `middleware`. */
export interface Guards {
  readonly signedIn: MiddlewareHandler<ActorEnv>;
  /** Knows who calls, then admits the body by the length that it announces. */
  readonly body: MiddlewareHandler<ActorEnv>[];
}

/** Knows who calls: by the admin token, an API token or a signed-in browser's cookie. */
export function signedIn(operators: Operators): MiddlewareHandler<ActorEnv> {
  return async (c, next) => {
    const authorization = c.req.header("authorization");
    const actor = await operators.identify(authorization, getCookie(c, sessionCookie));
    if (!actor) throw refusal(authorization);
    if (authorization === undefined && c.req.method !== "GET" && c.req.method !== "HEAD")
      throw new ProblemError("not-allowed", "a signed-in browser may only read");
    c.set("actor", actor);
    await next();
  };
}

/** @throws ProblemError not-allowed, naming the role that is missing */
export function requireRole(actor: Actor, wanted: Role | readonly Role[], environment?: string): void {
  if (may(actor, wanted, environment)) return;
  const any = typeof wanted === "string" ? [wanted] : wanted;
  const where = environment === undefined ? "" : ` in environment "${environment}"`;
  throw new ProblemError(
    "not-allowed",
    `this takes the role ${any.join(" or ")}${where}; "${actor.name}" has ${actor.roles.join(", ") || "none"}`,
  );
}

export type GatewayEnv = { Variables: { site: SiteRow } };

/** Lets a gateway act for the site of the path, and renews that site's lease. */
export function gatewayOnly(deps: {
  readonly tokens: GatewayTokens;
  readonly presence: Presence;
}): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const judged = await deps.tokens.judge(c.req.header("authorization"), c.req.param("site") ?? "");
    if (!judged.ok) throw new ProblemError(judged.code, judged.detail);
    deps.presence.heard(judged.site.name);
    c.set("site", judged.site);
    await next();
  };
}

function refusal(authorization: string | undefined): ProblemError {
  if (authorization !== undefined) return new ProblemError("token-invalid", "not central's admin token");
  return new ProblemError("not-signed", "sign in with a link from the command line, or send the admin token");
}
