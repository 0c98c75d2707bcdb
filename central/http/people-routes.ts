import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { type Clock, toInstant } from "../../protocol/index.ts";
import { type Actor, may } from "../auth/actor.ts";
import type { ApiTokens, TokenRow } from "../auth/api-tokens.ts";
import { isLocked } from "../auth/lockout.ts";
import type { SignIn } from "../auth/sign-in.ts";
import { environmentsOf, rolesOf, type UserRow, type Users } from "../auth/users.ts";
import { type Guards, requireRole } from "./access.ts";
import {
  linkView,
  madeToken,
  newLink,
  newToken,
  newUser,
  type TokenView,
  tokensAnswer,
  tokenView,
  type UserView,
  userEdit,
  userName,
  usersAnswer,
  userView,
} from "./api/people.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface PeopleRouteDeps {
  readonly users: Users;
  readonly apiTokens: ApiTokens;
  readonly signIn: SignIn;
  readonly clock: Clock;
  readonly guards: Guards;
}

const namePath = z.object({ name: userName });

/** Users, set up by admins of every environment; API tokens, made by their own users. */
export function peopleRoutes({ users, apiTokens, signIn, clock, guards }: PeopleRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const reading = { method: "get" as const, tags: ["people"], ...calls.reads };
  const changing = { tags: ["people"], ...calls.sends };
  const unknown = (name: string): ProblemError => new ProblemError("not-found", `there is no user "${name}"`);
  const viewOf = (row: UserRow): UserView => ({
    name: row.name,
    roles: rolesOf(row),
    environments: environmentsOf(row),
    createdAt: toInstant(row.created_at),
    createdBy: row.created_by,
    disabled: row.disabled_at !== null,
    lockedUntil: isLocked(row, clock.now()) ? toInstant(row.locked_until) : null,
    hasPassword: row.password !== null,
  });

  app.openapi(
    createRoute({
      ...reading,
      path: "/users",
      operationId: "listUsers",
      summary: "All users",
      responses: { 200: jsonAnswer("By name", usersAnswer), ...problems(...callerProblems) },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin");
      return c.json({ users: (await users.list()).map(viewOf) }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...changing,
      method: "post",
      path: "/users",
      operationId: "addUser",
      summary: "Add a user, who sets a password by a link",
      request: { body: jsonBody(newUser) },
      responses: { 201: jsonAnswer("Added", userView), ...problems(...callerProblems, ...bodyProblems, "conflict") },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin", "*");
      const user = c.req.valid("json");
      const added = await users.add(user, c.var.actor);
      if (added === "taken") throw new ProblemError("conflict", `the name "${user.name}" is taken`);
      return c.json(viewOf(added), 201);
    },
  );

  app.openapi(
    createRoute({
      ...changing,
      method: "patch",
      path: "/users/{name}",
      operationId: "editUser",
      summary: "Change what a user may do, disable or unlock him",
      request: { params: namePath, body: jsonBody(userEdit) },
      responses: {
        200: jsonAnswer("As it is now", userView),
        ...problems(...callerProblems, ...bodyProblems, "not-found", "conflict"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin", "*");
      const { name } = c.req.valid("param");
      const outcome = await users.edit(name, c.req.valid("json"), c.var.actor);
      if (outcome.kind === "unknown") throw unknown(name);
      if (outcome.kind === "last-admin")
        throw new ProblemError("conflict", `"${name}" is the last admin of every environment: make another one first`);
      return c.json(viewOf(outcome.user), 200);
    },
  );

  app.openapi(
    createRoute({
      ...changing,
      method: "post",
      path: "/users/{name}/links",
      operationId: "makeLink",
      summary: "Make a link that signs a user in once, to set a password",
      request: { params: namePath, body: jsonBody(newLink) },
      responses: {
        201: jsonAnswer("Give it to nobody but its user", linkView),
        ...problems(...callerProblems, ...bodyProblems, "not-found", "conflict"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, "admin", "*");
      const { name } = c.req.valid("param");
      const user = await users.find(name);
      if (!user) throw unknown(name);
      if (user.disabled_at !== null) throw new ProblemError("conflict", `user "${name}" is disabled: enable it first`);
      const kind = c.req.valid("json").setsPassword ? "password" : "sign-in";
      const { code, expiresAt } = await signIn.makeLink(name, kind, c.var.actor);
      const url = new URL("/signin", c.req.url);
      url.searchParams.set("code", code);
      return c.json({ url: url.href, expiresAt: toInstant(expiresAt) }, 201);
    },
  );

  app.openapi(
    createRoute({
      ...reading,
      path: "/tokens",
      operationId: "listTokens",
      summary: "One's own API tokens; of an admin, everybody's",
      responses: { 200: jsonAnswer("The oldest first", tokensAnswer), ...problems(...callerProblems) },
    }),
    async (c) => c.json({ tokens: (await apiTokens.list(ownOnly(c.var.actor))).map(tokenOf) }, 200),
  );

  app.openapi(
    createRoute({
      ...changing,
      method: "post",
      path: "/tokens",
      operationId: "makeToken",
      summary: "Make an API token that acts for oneself, with no more than one may oneself",
      request: { body: jsonBody(newToken) },
      responses: {
        201: jsonAnswer("Its text is in this answer alone", madeToken),
        ...problems(...callerProblems, ...bodyProblems),
      },
    }),
    async (c) => {
      // a token that makes tokens would never end, and the admin token is nobody
      if (c.var.actor.kind !== "user")
        throw new ProblemError("not-allowed", "a token is made by its user, signed in with a password (plantgate login)");
      const made = await apiTokens.make(c.var.actor, c.req.valid("json"));
      if (made.kind === "wider") throw new ProblemError("not-allowed", `a token holds no more than its user: ${made.detail}`);
      return c.json({ ...tokenOf(made.row), token: made.token }, 201);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/tokens/{id}",
      operationId: "revokeToken",
      summary: "Revoke an API token, one's own; an admin anybody's",
      tags: ["people"],
      ...calls.changes,
      request: { params: z.object({ id: z.string().max(64) }) },
      responses: { 200: jsonAnswer("Refused from the next call on", tokenView), ...problems(...callerProblems, "not-found") },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      const revoked = await apiTokens.revoke(id, c.var.actor, ownOnly(c.var.actor));
      if (!revoked) throw new ProblemError("not-found", `there is no token "${id}"`);
      return c.json(tokenOf(revoked), 200);
    },
  );

  return app;
}

/** Whose tokens somebody sees and revokes; undefined: everybody's. */
function ownOnly(actor: Actor): string | undefined {
  return may(actor, "admin", "*") ? undefined : actor.name;
}

function tokenOf(row: TokenRow): TokenView {
  const orNull = (at: number | null): string | null => (at === null ? null : toInstant(at));
  return {
    id: row.id,
    user: row.user,
    purpose: row.purpose,
    roles: rolesOf(row),
    environments: environmentsOf(row),
    createdAt: toInstant(row.created_at),
    expiresAt: toInstant(row.expires_at),
    revokedAt: orNull(row.revoked_at),
    lastUsedAt: orNull(row.last_used_at),
  };
}
