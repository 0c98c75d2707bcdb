import { randomBytes } from "node:crypto";
import type { Selectable } from "kysely";
import type { Clock } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Schema } from "../storage/schema.ts";
import { isOutage, type Storage } from "../storage/storage.ts";
import { type Actor, may, type Role } from "./actor.ts";
import { hex } from "./secret-text.ts";
import { actorOf, environmentsOf, rolesOf } from "./users.ts";

export type TokenRow = Omit<Selectable<Schema["api_tokens"]>, "hash">;
export interface TokenRequest {
  readonly purpose: string;
  readonly roles: readonly Role[];
  readonly environments: readonly string[];
  readonly lifeSeconds: number;
}
/** `wider`: it would allow what its user may not. */
export type MakeOutcome =
  | { readonly kind: "made"; readonly token: string; readonly row: TokenRow }
  | { readonly kind: "wider"; readonly detail: string };
export type TokenJudgement =
  | { readonly ok: true; readonly actor: Actor }
  | { readonly ok: false; readonly code: "token-invalid" | "token-expired"; readonly detail: string };

const prefix = "pgt_";
const tokenColumns = [
  "id",
  "user",
  "purpose",
  "roles",
  "environments",
  "created_at",
  "created_by",
  "expires_at",
  "revoked_at",
  "last_used_at",
] as const;
/** Its last use is noted no more often. */
const noteEveryMs = 60_000;
/** The longest that a token lives; one that ends later is of a clock that was ahead. */
const longestLifeMs = 366 * 86_400_000;

/**
 * API tokens: each acts for its user, with what both may do at the time of the call, until it expires, is revoked or its user is disabled. A
 * token is shown once; here lies its hash.
 */
export class ApiTokens {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock; readonly audit: Audit };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock; readonly audit: Audit }) {
    this.#deps = deps;
  }

  static isOne(text: string): boolean {
    return text.startsWith(prefix);
  }

  /** For the one who asks. Durable on return. */
  async make(owner: Actor, request: TokenRequest): Promise<MakeOutcome> {
    const { storage, clock, audit } = this.#deps;
    const widerRole = request.roles.find((role) => !may(owner, role));
    if (widerRole !== undefined) return { kind: "wider", detail: `"${owner.name}" has not the role ${widerRole}` };
    const where = request.environments.find((name) => !covers(owner.environments, name));
    if (where !== undefined)
      return { kind: "wider", detail: `"${owner.name}" may not act in ${where === "*" ? "every environment" : where}` };
    const now = clock.now();
    const token = prefix + randomBytes(32).toString("base64url");
    const row: TokenRow = {
      id: randomBytes(6).toString("hex"),
      user: owner.name,
      purpose: request.purpose,
      roles: JSON.stringify(request.roles),
      environments: JSON.stringify(request.environments),
      created_at: now,
      created_by: owner.name,
      expires_at: now + request.lifeSeconds * 1000,
      revoked_at: null,
      last_used_at: null,
    };
    await storage.transaction().execute(async (tx) => {
      await tx
        .insertInto("api_tokens")
        .values({ ...row, hash: hex(token) })
        .execute();
      const { purpose, roles, environments, lifeSeconds } = request;
      const detail = { purpose, roles, environments, lifeSeconds, user: owner.name };
      await audit.append(tx, { actor: owner.name, action: "token.made", subject: `token/${row.id}`, detail });
    });
    return { kind: "made", token, row };
  }

  /** @param user whose; absent: everybody's */
  list(user?: string): Promise<TokenRow[]> {
    let query = this.#deps.storage.selectFrom("api_tokens").select(tokenColumns).orderBy("created_at").orderBy("id");
    if (user !== undefined) query = query.where("user", "=", user);
    return query.execute();
  }

  /** Holds from the next call on. @param user whose it has to be; absent: anybody's. @returns the token; undefined: there is no such one */
  revoke(id: string, by: Actor, user?: string): Promise<TokenRow | undefined> {
    const { storage, clock, audit } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      let query = tx
        .updateTable("api_tokens")
        .set({ revoked_at: clock.now() })
        .where("id", "=", id)
        .where("revoked_at", "is", null);
      if (user !== undefined) query = query.where("user", "=", user);
      const revoked = await query.returning(tokenColumns).executeTakeFirst();
      if (revoked) {
        const detail = { user: revoked.user };
        await audit.append(tx, { actor: by.name, action: "token.revoked", subject: `token/${id}`, detail });
        return revoked;
      }
      const known = await tx.selectFrom("api_tokens").select(tokenColumns).where("id", "=", id).executeTakeFirst();
      return known && (user === undefined || known.user === user) ? known : undefined;
    });
  }

  async judge(token: string): Promise<TokenJudgement> {
    const { storage, clock } = this.#deps;
    const row = await storage
      .selectFrom("api_tokens")
      .innerJoin("users", "users.name", "api_tokens.user")
      .selectAll("users")
      .select(["api_tokens.id", "api_tokens.expires_at", "api_tokens.revoked_at", "api_tokens.last_used_at"])
      .select(["api_tokens.roles as token_roles", "api_tokens.environments as token_environments"])
      .where("api_tokens.hash", "=", hex(token))
      .executeTakeFirst();
    if (!row) return no("token-invalid", "not a token of this central");
    if (row.revoked_at !== null) return no("token-invalid", "this token was revoked");
    const now = clock.now();
    if (now >= row.expires_at || row.expires_at - now > 2 * longestLifeMs)
      return no("token-expired", "this token has expired: make another one");
    if (row.disabled_at !== null) return no("token-invalid", `user "${row.name}" is disabled`);
    await this.#noteUse(row.id, row.last_used_at, now);
    const user = actorOf(row);
    const own = rolesOf({ roles: row.token_roles });
    const where = environmentsOf({ environments: row.token_environments });
    // as much as both: what the user lost since is lost to his tokens
    const environments = user.environments.includes("*")
      ? where
      : where.includes("*")
        ? user.environments
        : where.filter((name) => user.environments.includes(name));
    return { ok: true, actor: { kind: "token", name: user.name, roles: own.filter((role) => may(user, role)), environments } };
  }

  async #noteUse(id: string, lastUsedAt: number | null, now: number): Promise<void> {
    if (lastUsedAt !== null && Math.abs(now - lastUsedAt) < noteEveryMs) return;
    try {
      await this.#deps.storage.updateTable("api_tokens").set({ last_used_at: now }).where("id", "=", id).execute();
    } catch (error) {
      // a full disk keeps nobody from reading
      if (!isOutage(error)) throw error;
    }
  }
}

/** Whether a scope holds an environment, or, for `*`, all. */
export function covers(environments: readonly string[], wanted: string): boolean {
  return environments.includes("*") || environments.includes(wanted);
}

function no(code: "token-invalid" | "token-expired", detail: string): TokenJudgement & { ok: false } {
  return { ok: false, code, detail };
}
