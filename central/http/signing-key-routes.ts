import { createRoute } from "@hono/zod-openapi";
import { signingChain, toInstant } from "../../protocol/index.ts";
import type { SigningKeys } from "../storage/signing-keys.ts";
import { type Guards, requireRole } from "./access.ts";
import { rotatedSigningKey, rotateSigningKeyBody } from "./api/sites.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface SigningKeyRouteDeps {
  readonly signingKeys: SigningKeys;
  readonly guards: Guards;
}

/** Keys that central itself signs with. */
export function signingKeyRoutes({ guards, signingKeys }: SigningKeyRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);

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
      ...calls.sends,
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

  return app;
}
