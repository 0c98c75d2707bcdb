import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { durationMs } from "../../protocol/index.ts";
import type { SecretSets } from "../secret/sets.ts";
import { siteSecrets } from "../secret/site-secrets.ts";
import type { Vault } from "../secret/vault.ts";
import type { SiteRegistry } from "../site/registry.ts";
import type { Storage } from "../storage/storage.ts";
import { type GatewayEnv, type Guards, requireRole, requireSite } from "./access.ts";
import { secretBody, secretName, secretsAnswer, secretUses, secretVersion } from "./api/secrets.ts";
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
import { ProblemError } from "./problem.ts";

export interface SecretRouteDeps {
  readonly vault: Vault;
  readonly secretSets: SecretSets;
  readonly registry: SiteRegistry;
  readonly reading: Storage;
  readonly guards: Guards;
  /** Told when any site's secrets may have changed. */
  readonly secretsChanged: () => void;
}

/** The longest that two values of one secret may be good beside each other. */
const maxOverlapMs = 30 * 86_400_000;
const named = z.object({ name: secretName });
const ofSite = z.object({ site: z.string().max(63).default("") });

/** Secrets: set, rotated and listed, and never read back. */
export function secretRoutes({ vault, secretSets: sets, registry, reading, guards, secretsChanged }: SecretRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);

  app.openapi(
    createRoute({
      method: "get",
      path: "/secrets",
      operationId: "listSecrets",
      summary: "Secrets with their versions and what should be done about them; never a value",
      tags: ["secrets"],
      ...calls.reads,
      responses: { 200: jsonAnswer("All that a document or a value speaks of", secretsAnswer), ...problems(...callerProblems) },
    }),
    async (c) => c.json({ secrets: await vault.list() }, 200),
  );

  app.openapi(
    createRoute({
      method: "put",
      path: "/secrets/{name}",
      operationId: "setSecret",
      summary: "Give a secret a new value; gateways that name it have it within seconds",
      description:
        "With `overlap` the value before stays good for so long, where a receiver can take two: webhook signatures, users of the embedded broker.",
      tags: ["secrets"],
      ...calls.sends,
      request: { params: named, body: jsonBody(secretBody) },
      responses: {
        200: jsonAnswer("It is kept, sealed", secretVersion),
        ...problems(...callerProblems, ...bodyProblems, "site-unknown"),
      },
    }),
    async (c) => {
      const { actor } = c.var;
      const { name } = c.req.valid("param");
      const { value, site, overlap, expiresAt } = c.req.valid("json");
      await mayChange(c.var, site);
      const overlapMs = overlap === undefined ? 0 : durationMs(overlap);
      if (overlapMs > maxOverlapMs) throw new ProblemError("invalid", "overlap: thirty days at most");
      const ends = expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) };
      const version = await vault.set({ name, site, value, overlapMs, ...ends }, actor.name);
      sets.forget();
      secretsChanged();
      return c.json({ name, site, version }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: "delete",
      path: "/secrets/{name}",
      operationId: "removeSecret",
      summary: "Take a secret's values away, for all sites or for one",
      tags: ["secrets"],
      ...calls.changes,
      request: { params: named, query: ofSite },
      responses: { 204: { description: "It has none any more" }, ...problems(...callerProblems, "not-found") },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { site } = c.req.valid("query");
      await mayChange(c.var, site);
      if (!(await vault.remove(name, site, c.var.actor.name)))
        throw new ProblemError("not-found", `secret "${name}" has no value${site === "" ? "" : ` for site "${site}"`}`);
      sets.forget();
      secretsChanged();
      return c.body(null, 204);
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/secrets/{name}/uses",
      operationId: "listSecretUses",
      summary: "Which sites name a secret, where, and whether they have it",
      tags: ["secrets"],
      ...calls.reads,
      request: { params: named },
      responses: { 200: jsonAnswer("By site", secretUses), ...problems(...callerProblems) },
    }),
    async (c) => {
      const { name } = c.req.valid("param");
      const { uses } = await siteSecrets(reading);
      const answer: z.infer<typeof secretUses>["uses"] = [];
      for (const use of uses.filter((each) => each.name === name)) {
        const [newest] = await vault.versionsFor(use.site, [name]);
        const row = await registry.find(use.site);
        const should = row && (await sets.digest(row));
        const reported = heldBy(row?.status ?? null);
        const held = reported === undefined ? null : reported === should;
        answer.push({ site: use.site, paths: [...use.paths], version: newest?.[2] ?? null, held });
      }
      return c.json({ uses: answer }, 200);
    },
  );

  /** A value for one site takes a person of its environment, one for all sites takes a person of all. */
  async function mayChange({ actor }: { actor: Parameters<typeof requireRole>[0] }, site: string): Promise<void> {
    const row = site === "" ? undefined : await requireSite(registry, site);
    requireRole(actor, "engineer", row ? row.environment : "*");
  }

  return app;
}

/** The set of secrets that a gateway last said that it holds. */
function heldBy(status: string | null): string | undefined {
  if (status === null) return undefined;
  return (JSON.parse(status) as { configuration?: { secrets?: string } }).configuration?.secrets;
}

/** What a gateway fetches: its own secrets, sealed to its own key. */
export function gatewaySecretRoutes({ secretSets }: Pick<SecretRouteDeps, "secretSets">) {
  const app = makeRouter<GatewayEnv>();
  app.openapi(
    createRoute({
      method: "get",
      path: "/secrets",
      operationId: "getSecretSet",
      summary: "The secrets that the site's configuration names, sealed to its gateway's key",
      tags: ["gateway"],
      security: security.gateway,
      request: { params: z.object({ site: z.string() }) },
      responses: {
        200: jsonAnswer(
          "A compact JWS by central; each value in it is a compact JWE",
          z.object({ set: z.string(), jws: z.string() }),
        ),
        ...problems(...gatewayProblems, "not-found"),
      },
    }),
    async (c) => {
      const found = await secretSets.fetch(c.var.site);
      if (!found) throw new ProblemError("not-found", "central has no secrets for this site");
      return c.json(found, 200);
    },
  );
  return app;
}
