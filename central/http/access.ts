import type { Context, MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import type { Clock } from "../../protocol/index.ts";
import { type Actor, may, type Role } from "../auth/actor.ts";
import type { BrowserSession } from "../auth/browser-sessions.ts";
import type { GatewayTokens, TokenJudgement } from "../auth/gateway-token.ts";
import type { Operators } from "../auth/operators.ts";
import { isSame } from "../auth/secret-text.ts";
import type { GatewayKey } from "../site/keys.ts";
import type { Presence } from "../site/presence.ts";
import type { SiteRegistry, SiteRow } from "../site/registry.ts";
import type { Sessions } from "../site/sessions.ts";
import { ProblemError } from "./problem.ts";

export const sessionCookie = "plantgate-session";
export const csrfHeader = "plantgate-csrf";

/** What a call carries once {@link signedIn} let it through. */
export type ActorEnv = { Variables: { actor: Actor; session?: BrowserSession | undefined } };

/** What stands before a route of people and their tools, as its `middleware`. */
export interface Guards {
  readonly signedIn: MiddlewareHandler<ActorEnv>;
  /** Knows who calls, then admits the body by the length that it announces. */
  readonly body: MiddlewareHandler<ActorEnv>[];
  /** For answers without an end: aborts with `ended`, and within half a minute of whoever called being signed in no more. */
  readonly whileSignedIn: (c: Context, ended: AbortSignal) => AbortSignal;
}

const lookEveryMs = 30_000;

export function makeGuards(deps: {
  readonly operators: Operators;
  readonly clock: Clock;
  readonly json: MiddlewareHandler;
}): Guards {
  const { operators, clock, json } = deps;
  const known = signedIn(operators);
  return {
    signedIn: known,
    body: [known, json],
    whileSignedIn: (c, ended) => {
      const gone = new AbortController();
      const signal = AbortSignal.any([ended, gone.signal]);
      const [authorization, cookie] = [c.req.header("authorization"), getCookie(c, sessionCookie)];
      const look = async (): Promise<void> => {
        for (;;) {
          await clock.sleep(lookEveryMs, signal);
          if (signal.aborted) return;
          // a storage that fails for a moment signs nobody out
          const found = await operators.identify(authorization, cookie).catch(() => undefined);
          if (found?.ok === false) gone.abort();
        }
      };
      void look();
      return signal;
    },
  };
}

/**
 * Knows who calls: by an API token, the admin token or a signed-in browser's cookie. With a cookie whatever may change something has to carry the
 * session's CSRF token, and must not come from another origin's page.
 */
export function signedIn(operators: Operators): MiddlewareHandler<ActorEnv> {
  return async (c, next) => {
    const found = await operators.identify(c.req.header("authorization"), getCookie(c, sessionCookie));
    if (!found.ok) throw new ProblemError(found.code, found.detail);
    if (found.session && !isSafe(c.req.method)) {
      requireOwnPage(c);
      if (!isSame(c.req.header(csrfHeader) ?? "", found.session.csrf))
        throw new ProblemError("not-allowed", `send ${csrfHeader} with csrf of GET /v1/session`);
    }
    // a token whose user has lost what it was made for
    if (found.actor.roles.length === 0) throw new ProblemError("not-allowed", `"${found.actor.name}" has no role left here`);
    c.set("actor", found.actor);
    c.set("session", found.session);
    await next();
  };
}

/** @throws ProblemError not-allowed for a call that a browser makes for a page of another origin */
export function requireOwnPage(c: Context): void {
  const from = c.req.header("sec-fetch-site");
  if (from !== undefined && from !== "same-origin" && from !== "none")
    throw new ProblemError("not-allowed", "a page of another origin may not do this");
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** @throws ProblemError not-allowed, naming the role that is missing */
export function requireRole(actor: Actor, wanted: Role | readonly Role[], environment?: string): void {
  if (may(actor, wanted, environment)) return;
  const any = typeof wanted === "string" ? [wanted] : wanted;
  const where =
    environment === undefined ? "" : environment === "*" ? " in every environment" : ` in environment "${environment}"`;
  throw new ProblemError(
    "not-allowed",
    `this takes the role ${any.join(" or ")}${where}; "${actor.name}" has ${actor.roles.join(", ") || "none"}`,
  );
}

/** Who sets up sites. */
export const setsUp: readonly Role[] = ["admin", "engineer"];

/** The site, for somebody with such a role in its environment. @throws ProblemError not-allowed, site-unknown */
export async function siteFor(
  registry: Pick<SiteRegistry, "find">,
  actor: Actor,
  name: string,
  wanted: Role | readonly Role[],
): Promise<SiteRow> {
  // whoever has the role nowhere is not told which sites there are
  requireRole(actor, wanted);
  const site = await requireSite(registry, name);
  requireRole(actor, wanted, site.environment);
  return site;
}

/** @throws ProblemError site-unknown */
export async function requireSite(registry: Pick<SiteRegistry, "find">, name: string): Promise<SiteRow> {
  const site = await registry.find(name);
  if (!site) throw siteUnknown(name);
  return site;
}

export function siteUnknown(name: string): ProblemError {
  return new ProblemError("site-unknown", `there is no site "${name}"; plantgate site create makes one`);
}

/** `key`: the one that signed the call. */
export type GatewayEnv = { Variables: { site: SiteRow; key: GatewayKey } };

/** Lets a gateway act for the site of the path, and renews that site's lease. */
export function gatewayOnly(deps: {
  readonly tokens: GatewayTokens;
  readonly presence: Presence;
  readonly sessions: Pick<Sessions, "leftBehind">;
}): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    const judged = await deps.tokens.judge(c.req.header("authorization"), c.req.param("site") ?? "");
    if (!judged.ok) {
      if (judged.leftBehind) await deps.sessions.leftBehind(judged.leftBehind.site, judged.leftBehind.by);
      throw refusalOf(judged);
    }
    deps.presence.heard(judged.site.name);
    c.set("site", judged.site);
    c.set("key", judged.key);
    await next();
  };
}

/** Why a gateway's token is not taken. */
export function refusalOf({ code, detail, leftBehind }: TokenJudgement & { readonly ok: false }): ProblemError {
  return new ProblemError(code, detail, leftBehind ? { extra: { moved: true } } : {});
}
