import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { sessionLifeMs } from "../auth/browser-sessions.ts";
import type { Begun, SignIn, SignInOutcome } from "../auth/sign-in.ts";
import { actorOf } from "../auth/users.ts";
import { type ActorEnv, type Guards, requireOwnPage, sessionCookie } from "./access.ts";
import { passwordBody, type SessionView, sessionView, signInBody } from "./api/people.ts";
import { smallBody } from "./json-body.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";
import type { SourceOf } from "./source.ts";

export interface SessionRouteDeps {
  readonly signIn: SignIn;
  readonly sourceOf: SourceOf;
  readonly guards: Guards;
}

/** A stranger's body. */
const signInBytes = 4096;

/** Signing in and out, one's own password, and one-time links. */
export function sessionRoutes({ signIn, sourceOf, guards }: SessionRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const shared = { tags: ["people"] };
  const attempt = (c: Context) => ({ source: sourceOf(c), previous: getCookie(c, sessionCookie) });

  app.openapi(
    createRoute({
      ...shared,
      method: "post",
      path: "/v1/session",
      operationId: "signIn",
      summary: "Sign a browser in",
      security: security.nobody,
      middleware: smallBody(signInBytes),
      request: { body: jsonBody(signInBody) },
      responses: {
        200: jsonAnswer("Signed in; the cookie is set", sessionView),
        ...problems("not-signed", ...bodyProblems, "not-allowed"),
      },
    }),
    async (c) => {
      requireOwnPage(c);
      const { user, password } = c.req.valid("json");
      return c.json(
        begin(c, await signIn.byPassword(user, password, attempt(c)), new ProblemError("not-signed", wrongPassword)),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      ...shared,
      method: "get",
      path: "/v1/session",
      operationId: "getSession",
      summary: "Who one is, and what one may do",
      ...calls.reads,
      responses: { 200: jsonAnswer("By cookie or token", sessionView), ...problems(...callerProblems) },
    }),
    (c) => {
      const { actor, session } = c.var;
      const view: SessionView = {
        user: actor.name,
        kind: actor.kind,
        roles: [...actor.roles],
        environments: [...actor.environments],
        csrf: session?.csrf ?? null,
        mustSetPassword: session?.setsPassword ?? false,
      };
      return c.json(view, 200);
    },
  );

  app.openapi(
    createRoute({
      ...shared,
      method: "delete",
      path: "/v1/session",
      operationId: "signOut",
      summary: "Sign this browser out",
      ...calls.changes,
      responses: { 204: { description: "The session has ended" }, ...problems(...callerProblems) },
    }),
    async (c) => {
      const secret = getCookie(c, sessionCookie);
      if (c.var.session && secret !== undefined) await signIn.signOut(secret, c.var.actor.name);
      deleteCookie(c, sessionCookie, { path: "/" });
      return c.body(null, 204);
    },
  );

  app.openapi(
    createRoute({
      ...shared,
      method: "put",
      path: "/v1/session/password",
      operationId: "setPassword",
      summary: "Set one's own password; all sessions end, this one goes on under a new cookie",
      ...calls.sends,
      request: { body: jsonBody(passwordBody) },
      responses: { 200: jsonAnswer("Set", sessionView), ...problems(...callerProblems, ...bodyProblems) },
    }),
    async (c) => {
      const { actor, session } = c.var;
      if (!session) throw new ProblemError("not-allowed", "a password is set by its person, signed in with a browser");
      const { current, next } = c.req.valid("json");
      if (!session.setsPassword && current === undefined) throw currentProblem("say the password that it was");
      const proof = session.setsPassword || current === undefined ? "link" : { current };
      const outcome = await signIn.setPassword(actor.name, next, proof, { source: sourceOf(c) });
      return c.json(
        begin(c, outcome, currentProblem("not the password that it was, or tried too often: wait, or ask an admin")),
        200,
      );
    },
  );

  app.get("/signin", async (c) => {
    c.header("cache-control", "no-store");
    // whoever only looks whether the link leads anywhere has not used it
    if (c.req.method === "HEAD") return c.body(null, 204);
    const outcome = await signIn.byLink(c.req.query("code") ?? "", attempt(c));
    begin(c, outcome, new ProblemError("not-signed", "this link was used or is too old: ask for another one"));
    return c.redirect("/");
  });

  return app;
}

const wrongPassword =
  "the user or the password is wrong, or the user is locked after too many wrong ones: wait up to 15 minutes, or ask an admin to unlock it";

function currentProblem(message: string): ProblemError {
  return new ProblemError("invalid", `current: ${message}`, { extra: { problems: [{ path: "current", message }] } });
}

/** Sets the cookie. @throws ProblemError saying nothing of which users there are */
function begin(c: Context<ActorEnv>, outcome: SignInOutcome, wrong: ProblemError): SessionView {
  if (outcome.kind === "limited") {
    const headers = { "retry-after": String(outcome.retryAfterSeconds) };
    throw new ProblemError("limited", "too many wrong tries came from this address", { headers });
  }
  if (outcome.kind === "busy") throw new ProblemError("busy", "too many sign in at once", { headers: { "retry-after": "2" } });
  if (outcome.kind !== "begun") throw wrong;
  const secure = new URL(c.req.url).protocol === "https:" || c.req.header("x-forwarded-proto") === "https";
  setCookie(c, sessionCookie, outcome.secret, {
    httpOnly: true,
    sameSite: "Strict",
    path: "/",
    maxAge: sessionLifeMs / 1000,
    secure,
  });
  return toSession(outcome);
}

function toSession({ user, csrf, setsPassword }: Begun): SessionView {
  const { name, roles, environments } = actorOf(user);
  return { user: name, kind: "user", roles: [...roles], environments: [...environments], csrf, mustSetPassword: setsPassword };
}
