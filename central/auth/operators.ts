import type { ProblemCode } from "../../protocol/index.ts";
import { type Actor, adminKeyName } from "./actor.ts";
import { ApiTokens } from "./api-tokens.ts";
import type { BrowserSession, BrowserSessions } from "./browser-sessions.ts";
import { isSame } from "./secret-text.ts";
import { actorOf } from "./users.ts";

/** Who calls. `session`: by a browser's cookie. */
export type Identified =
  | { readonly ok: true; readonly actor: Actor; readonly session?: BrowserSession }
  | { readonly ok: false; readonly code: ProblemCode; readonly detail: string };

/** The admin token of the data folder: it sets things up, and is nobody who could approve. */
const key: Actor = { kind: "key", name: adminKeyName, roles: ["viewer", "operator", "engineer", "admin"], environments: ["*"] };

/** People and their tools: who it is that calls. */
export class Operators {
  readonly #deps: { readonly adminToken: string; readonly tokens: ApiTokens; readonly sessions: BrowserSessions };

  constructor(deps: { readonly adminToken: string; readonly tokens: ApiTokens; readonly sessions: BrowserSessions }) {
    this.#deps = deps;
  }

  /** A token is what counts where there is one, whatever cookie comes with it. */
  async identify(authorization: string | undefined, cookie: string | undefined): Promise<Identified> {
    if (authorization !== undefined) return this.#byToken(/^Bearer (\S+)$/i.exec(authorization)?.[1]);
    const session = cookie === undefined ? undefined : await this.#deps.sessions.find(cookie);
    if (session) return { ok: true, actor: actorOf(session.user), session };
    return no("not-signed", "sign in, or send Authorization: Bearer with an API token");
  }

  async #byToken(token: string | undefined): Promise<Identified> {
    if (token === undefined) return no("token-invalid", "send Authorization: Bearer with an API token");
    if (ApiTokens.isOne(token)) return this.#deps.tokens.judge(token);
    return isSame(token, this.#deps.adminToken) ? { ok: true, actor: key } : no("token-invalid", "not a token of this central");
  }
}

function no(code: ProblemCode, detail: string): Identified {
  return { ok: false, code, detail };
}
