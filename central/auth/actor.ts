/** What a person may do. They add up; none contains another, except that all may read. */
export const roles = ["viewer", "operator", "engineer", "approver", "admin"] as const;
export type Role = (typeof roles)[number];

/**
 * Who acts, on every call that a person or a tool makes. `key`: the admin token of central's data folder; it sets things up, but is nobody: it
 * neither approves nor counts as a second person (P12).
 */
export interface Actor {
  readonly kind: "user" | "token" | "key";
  /** The person, also behind a token; `admin-token` for the key. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Where; `*`: everywhere. */
  readonly environments: readonly string[];
}

/** Central's admin token, as it is named where a person would be. */
export const adminKeyName = "admin-token";

/** Whether somebody has one of these roles where it is asked for. An admin may do what engineers and operators do, but never approve. */
export function may(actor: Actor, wanted: Role | readonly Role[], environment?: string): boolean {
  const any = typeof wanted === "string" ? [wanted] : wanted;
  const has = any.some((role) => actor.roles.includes(role) || (role !== "approver" && actor.roles.includes("admin")));
  const there = environment === undefined || actor.environments.includes("*") || actor.environments.includes(environment);
  return there && (has || (any.includes("viewer") && actor.roles.length > 0));
}
