import { z } from "zod";
import { roles } from "../../auth/actor.ts";
import { instantText } from "./common.ts";

const role = z.enum(roles);
export const userName = z.string().regex(/^[a-z0-9][a-z0-9._@-]{0,127}$/, "a user's name: lower-case letters, digits, . _ - @");
const environments = z.array(z.string().min(1).max(32)).default(["*"]);

/** `POST /v1/session`; `GET` says who one is. Calls by cookie that change something carry `plantgate-csrf`. */
export const signInBody = z.object({ user: userName, password: z.string().min(1).max(1024) });
export const sessionView = z
  .object({
    user: z.string(),
    kind: z.enum(["user", "token", "key"]),
    roles: z.array(role),
    environments: z.array(z.string()),
    csrf: z.string().nullable(),
    /** Set by a one-time link: the first thing to do. */
    mustSetPassword: z.boolean(),
  })
  .meta({ id: "Session" });
export type SessionView = z.infer<typeof sessionView>;
export const passwordBody = z.object({ current: z.string().max(1024).optional(), next: z.string().min(12).max(1024) });

/** `GET /v1/users`, `POST /v1/users`, `PATCH /v1/users/{name}` */
export const userView = z
  .object({
    name: userName,
    roles: z.array(role),
    environments: z.array(z.string()),
    createdAt: instantText,
    createdBy: z.string(),
    disabled: z.boolean(),
    lockedUntil: instantText.nullable(),
    hasPassword: z.boolean(),
  })
  .meta({ id: "User" });
export type UserView = z.infer<typeof userView>;
export const newUser = z.object({ name: userName, roles: z.array(role).min(1), environments });
export const userEdit = z.object({
  roles: z.array(role).min(1).optional(),
  environments: z.array(z.string()).optional(),
  disabled: z.boolean().optional(),
  unlock: z.literal(true).optional(),
});

/** `GET /v1/tokens`, `POST /v1/tokens`: the token itself is in the answer of the POST alone. */
export const newToken = z.object({
  purpose: z.string().min(1).max(200),
  roles: z.array(role).min(1),
  environments,
  lifeSeconds: z
    .int()
    .min(60)
    .max(366 * 86_400),
});
export const tokenView = z
  .object({
    id: z.string(),
    user: z.string(),
    purpose: z.string(),
    roles: z.array(role),
    environments: z.array(z.string()),
    createdAt: instantText,
    expiresAt: instantText,
    revokedAt: instantText.nullable(),
    lastUsedAt: instantText.nullable(),
  })
  .meta({ id: "Token" });

/** `GET /v1/audit?after=0&limit=200&actor=&action=&subject=`, newest last. */
export const auditEntry = z.object({
  number: z.int(),
  at: instantText,
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  detail: z.record(z.string(), z.unknown()).optional(),
  hash: z.string(),
});
export const auditAnswer = z.object({ entries: z.array(auditEntry), next: z.int() });
/** `GET /v1/audit/verify` */
export const auditVerification = z.object({ entries: z.int(), head: z.string(), badAt: z.int().nullable() });
