import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";
import type { Actor } from "./actor.ts";

const codeLifeMs = 10 * 60_000;
export const sessionLifeMs = 12 * 3_600_000;

/** People and their tools: the admin token for the CLI and the API, one-time links that begin a session in a browser. */
export class Operators {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock; readonly adminToken: string };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock; readonly adminToken: string }) {
    this.#deps = deps;
  }

  isAdmin(authorization: string | undefined): boolean {
    const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    // hashes have one length, so that the comparison tells nothing about the token
    return token !== undefined && timingSafeEqual(hash(token), hash(this.#deps.adminToken));
  }

  /** Who calls; undefined: nobody known. */
  async identify(authorization: string | undefined, session: string | undefined): Promise<Actor | undefined> {
    const everywhere = ["*"];
    if (authorization !== undefined)
      return this.isAdmin(authorization)
        ? { kind: "key", name: "admin-token", roles: ["viewer", "operator", "engineer", "admin"], environments: everywhere }
        : undefined;
    if (!(await this.hasSession(session))) return undefined;
    return { kind: "key", name: "signed-in", roles: ["viewer"], environments: everywhere };
  }

  /** A code for one sign-in within ten minutes; only its hash is kept. */
  async makeCode(): Promise<string> {
    const code = randomBytes(24).toString("base64url");
    const { storage, clock } = this.#deps;
    await storage.deleteFrom("signin_codes").where("expires_at", "<", clock.now()).execute();
    await storage
      .insertInto("signin_codes")
      .values({ hash: hex(code), expires_at: clock.now() + codeLifeMs })
      .execute();
    return code;
  }

  /** Turns a code into a session's secret; undefined where the code is unknown, used or too old. */
  async signIn(code: string): Promise<string | undefined> {
    const { storage, clock } = this.#deps;
    const secret = randomBytes(32).toString("base64url");
    return storage.transaction().execute(async (tx) => {
      const used = await tx
        .deleteFrom("signin_codes")
        .where("hash", "=", hex(code))
        .where("expires_at", ">=", clock.now())
        .executeTakeFirst();
      if (used.numDeletedRows === 0n) return undefined;
      await tx.deleteFrom("operator_sessions").where("expires_at", "<", clock.now()).execute();
      await tx
        .insertInto("operator_sessions")
        .values({ hash: hex(secret), created_at: clock.now(), expires_at: clock.now() + sessionLifeMs })
        .execute();
      return secret;
    });
  }

  async hasSession(secret: string | undefined): Promise<boolean> {
    if (secret === undefined) return false;
    const { storage, clock } = this.#deps;
    const row = await storage
      .selectFrom("operator_sessions")
      .select("expires_at")
      .where("hash", "=", hex(secret))
      .executeTakeFirst();
    return row !== undefined && row.expires_at > clock.now();
  }
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
function hex(text: string): string {
  return hash(text).toString("hex");
}
