import { z } from "zod";
import { roles } from "../../auth/actor.ts";
import { environmentName, instantText } from "./common.ts";

const role = z.enum(roles);
export const userName = z.string().regex(/^[a-z0-9][a-z0-9._@-]{0,127}$/, "a user's name: lower-case letters, digits, . _ - @");
const environment = z.union([z.literal("*"), environmentName]);
const environments = z.array(environment).min(1).max(50).default(["*"]).meta({ description: "Where; `*`: everywhere." });

/** `POST /v1/session`; `GET` says who one is. Calls by cookie that change something carry `plantgate-csrf`. */
export const signInBody = z.object({ user: userName, password: z.string().min(1).max(1024) });
export const sessionView = z
  .object({
    user: z.string(),
    kind: z.enum(["user", "token", "key"]),
    roles: z.array(role),
    environments: z.array(z.string()),
    csrf: z.string().nullable().meta({ description: "For `plantgate-csrf`; null: no browser's session." }),
    mustSetPassword: z.boolean().meta({ description: "Signed in by a link that sets a password: the first thing to do." }),
  })
  .meta({ id: "Session" });
export type SessionView = z.infer<typeof sessionView>;
/** `PUT /v1/session/password`. Ends all other sessions of the user. */
export const passwordBody = z.object({
  current: z.string().max(1024).optional().meta({ description: "Not asked for after a link that sets a password." }),
  next: z.string().min(12, "at least 12 characters").max(1024),
});

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
export const usersAnswer = z.object({ users: z.array(userView) });
export const newUser = z.object({ name: userName, roles: z.array(role).min(1), environments });
export const userEdit = z.object({
  roles: z.array(role).min(1).optional(),
  environments: z.array(environment).min(1).max(50).optional(),
  disabled: z.boolean().optional(),
  unlock: z.literal(true).optional(),
});

/** `POST /v1/users/{name}/links` */
export const newLink = z.object({
  setsPassword: z.boolean().default(true).meta({ description: "false: it signs in, within ten minutes, and no more." }),
});
export const linkView = z.object({ url: z.string(), expiresAt: instantText });

/** `GET /v1/tokens`, `POST /v1/tokens`: the token itself is in the answer of the POST alone. */
export const newToken = z.object({
  purpose: z
    .string()
    .min(1)
    .max(200)
    .regex(/^\P{Cc}*$/u, "no control characters"),
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
export type TokenView = z.infer<typeof tokenView>;
export const tokensAnswer = z.object({ tokens: z.array(tokenView) });
export const madeToken = z.object({ ...tokenView.shape, token: z.string().meta({ description: "Shown this once." }) });

/**
 * `GET /v1/audit?after=0&limit=200&actor=&action=&subject=`, newest last; with `before=N` (0: the end) those before N. `action=login` and
 * `subject=user` also stand for all that begin with it and a dot or slash.
 */
export const auditQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  before: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
  actor: z.string().max(128).optional(),
  action: z.string().max(128).optional(),
  subject: z.string().max(256).optional(),
});
export const auditEntry = z
  .object({
    number: z.int(),
    at: instantText,
    actor: z.string(),
    action: z.string(),
    subject: z.string(),
    detail: z.record(z.string(), z.unknown()).optional(),
    hash: z.string(),
  })
  .meta({ id: "AuditEntry" });
export const auditAnswer = z.object({
  entries: z.array(auditEntry),
  next: z.int().meta({ description: "`after`, or `before`, of the next page: all up to there was looked at." }),
});
/** `GET /v1/audit/verify?head=HASH&at=N`: also judges whether entry N had this hash when it was kept elsewhere. */
export const verifyQuery = z.object({
  head: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits")
    .optional(),
  at: z.coerce.number().int().min(1).optional(),
});
export const auditVerification = z.object({
  entries: z.int(),
  head: z.string(),
  badAt: z.int().nullable().meta({ description: "The first entry that is not what was written; null: all are." }),
});
