import { randomBytes } from "node:crypto";
import type { Clock } from "../../protocol/index.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { hex } from "./secret-text.ts";
import type { UserRow } from "./users.ts";

export const sessionLifeMs = 12 * 3_600_000;

/** A signed-in browser, as its cookie finds it. */
export interface BrowserSession {
  readonly user: UserRow;
  /** What calls that change something carry besides the cookie. */
  readonly csrf: string;
  /** It began with a link by which its user may set a password. */
  readonly setsPassword: boolean;
}

/** Sessions of browsers: the cookie's secret is known here by its hash alone; each sign-in makes a new one. */
export class BrowserSessions {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** @param previous the secret of the session that the browser came with: it ends, so that none that was planted there is signed in */
  async begin(
    tx: StorageTransaction,
    { user, setsPassword = false, previous }: { user: string; setsPassword?: boolean; previous?: string | undefined },
  ): Promise<{ readonly secret: string; readonly csrf: string }> {
    const now = this.#deps.clock.now();
    const [secret, csrf] = [randomBytes(32).toString("base64url"), randomBytes(24).toString("base64url")];
    await tx.deleteFrom("operator_sessions").where("expires_at", "<", now).execute();
    if (previous !== undefined) await tx.deleteFrom("operator_sessions").where("hash", "=", hex(previous)).execute();
    await tx
      .insertInto("operator_sessions")
      .values({
        hash: hex(secret),
        created_at: now,
        expires_at: now + sessionLifeMs,
        user,
        csrf,
        sets_password: setsPassword ? 1 : 0,
      })
      .execute();
    return { secret, csrf };
  }

  async find(secret: string): Promise<BrowserSession | undefined> {
    const { storage, clock } = this.#deps;
    const row = await storage
      .selectFrom("operator_sessions")
      .innerJoin("users", "users.name", "operator_sessions.user")
      .selectAll("users")
      .select(["operator_sessions.csrf", "operator_sessions.sets_password", "operator_sessions.expires_at"])
      .where("operator_sessions.hash", "=", hex(secret))
      .executeTakeFirst();
    if (!row || row.disabled_at !== null || !isNow(row.expires_at, clock.now(), sessionLifeMs)) return undefined;
    const { csrf, sets_password, expires_at: _, ...user } = row;
    return { user, csrf, setsPassword: sets_password === 1 };
  }

  async end(tx: StorageTransaction, secret: string): Promise<void> {
    await tx.deleteFrom("operator_sessions").where("hash", "=", hex(secret)).execute();
  }
}

/** A clock that is set back by more than a life makes nothing live longer. */
export function isNow(expiresAt: number, now: number, lifeMs: number): boolean {
  return now < expiresAt && expiresAt - now <= 2 * lifeMs;
}
