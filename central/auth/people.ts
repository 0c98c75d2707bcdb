import type { Clock } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Storage } from "../storage/storage.ts";
import { ApiTokens } from "./api-tokens.ts";
import { BrowserSessions } from "./browser-sessions.ts";
import { Sources } from "./lockout.ts";
import { Operators } from "./operators.ts";
import { Passwords } from "./passwords.ts";
import { SignIn } from "./sign-in.ts";
import { Users } from "./users.ts";

/** Everything by which central knows people and their tools. */
export interface People {
  readonly users: Users;
  readonly apiTokens: ApiTokens;
  readonly signIn: SignIn;
  readonly operators: Operators;
}

export function makePeople(deps: {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly adminToken: string;
}): People {
  const sessions = new BrowserSessions(deps);
  const apiTokens = new ApiTokens(deps);
  return {
    users: new Users(deps),
    apiTokens,
    signIn: new SignIn({ ...deps, sessions, passwords: new Passwords(), sources: new Sources(deps.clock) }),
    operators: new Operators({ adminToken: deps.adminToken, tokens: apiTokens, sessions }),
  };
}
