import { z } from "zod";
import { auditAnswer, auditVerification, sessionView, tokenView, userView } from "../../../central/http/api/people.ts";
import { type Asked, digest, ok, type Reply } from "./answers.ts";
import { ago } from "./fixtures.ts";

export function answerPeople({ world, method, path, parts: [first, , third] }: Asked): Reply | undefined {
  if (first === "session") {
    if (method === "DELETE") world.signedIn = false;
    if (method === "POST") world.signedIn = true;
    return ok(sessionView, {
      user: world.user,
      kind: "user",
      roles: ["engineer", "approver", "admin"],
      environments: ["*"],
      csrf: "c-1",
      mustSetPassword: false,
    });
  }
  if (path === "/v1/users") return ok(z.object({ users: z.array(userView) }), { users: users() });
  if (first === "users" && third === "links")
    return { status: 201, body: { url: "https://central.example.com/signin?code=abc", expiresAt: ago(-600_000) } };
  if (path === "/v1/tokens") {
    const token = {
      id: "t1",
      user: "mira",
      purpose: "Build server pushes templates",
      roles: ["engineer"],
      environments: ["dev"],
      createdAt: ago(9e8),
      expiresAt: ago(-9e8),
      revokedAt: null,
      lastUsedAt: ago(60_000),
    };
    if (method === "POST") return { status: 201, body: { ...token, token: "pgt_0123456789abcdef" } };
    return ok(z.object({ tokens: z.array(tokenView) }), {
      tokens: [
        token,
        {
          ...token,
          id: "t2",
          user: "ana",
          purpose: "Reads the ledger into the warehouse",
          roles: ["viewer"],
          revokedAt: ago(5e6),
          lastUsedAt: null,
        },
      ],
    });
  }
  if (path === "/v1/audit/verify") return ok(auditVerification, { entries: 4806, head: digest, badAt: null });
  if (path === "/v1/audit") return ok(auditAnswer, auditEntries());
  return undefined;
}

function users(): z.input<typeof userView>[] {
  const user = (name: string, roles: string[], changes: Record<string, unknown> = {}) => ({
    name,
    roles,
    environments: ["*"],
    createdAt: ago(900_000_000),
    createdBy: "admin-token",
    disabled: false,
    lockedUntil: null,
    hasPassword: true,
    ...changes,
  });
  return [
    user("ana", ["engineer", "operator"], { environments: ["dev", "test"] }),
    user("mira", ["engineer", "approver", "admin"]),
    user("noor", ["viewer"], { hasPassword: false, createdAt: ago(3_600_000), createdBy: "mira" }),
    user("piotr", ["operator"], { lockedUntil: ago(-600_000) }),
    user("tomas", ["approver"]),
    user("ulla", ["engineer"], { disabled: true }),
  ] as z.input<typeof userView>[];
}

const auditEntries = (): z.input<typeof auditAnswer> => ({
  next: 0,
  entries: [
    ["login.succeeded", "user/mira", "mira", {}],
    ["change.created", "change/12", "mira", { environment: "prod", digest }],
    ["change.submitted", "change/12", "mira", {}],
    ["login.failed", "user/piotr", "", { from: "10.4.0.17" }],
    ["user.locked", "user/piotr", "", { until: ago(-600_000) }],
    ["rollout.started", "rollout/6", "central", { change: 11 }],
  ].map(([action, subject, actor, detail], index) => ({
    number: 4801 + index,
    at: ago(600_000 - index * 60_000),
    actor: actor as string,
    action: action as string,
    subject: subject as string,
    detail: detail as Record<string, unknown>,
    hash: digest.slice(index) + digest.slice(0, index),
  })),
});
