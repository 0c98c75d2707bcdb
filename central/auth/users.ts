import type { Selectable } from "kysely";
import type { Clock } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { locking } from "../storage/dialect.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Actor, Role } from "./actor.ts";

export type UserRow = Selectable<Schema["users"]>;
export interface UserChanges {
  readonly roles?: readonly Role[] | undefined;
  readonly environments?: readonly string[] | undefined;
  readonly disabled?: boolean | undefined;
  readonly unlock?: true | undefined;
}
export type EditOutcome =
  | { readonly kind: "edited"; readonly user: UserRow }
  | { readonly kind: "unknown" }
  | { readonly kind: "last-admin" };

/** Names that others go by in the audit log. */
const reserved: readonly string[] = ["admin-token", "central", "anonymous"];

/** The people that may sign in: nobody is deleted, as what they did stays; they are disabled. */
export class Users {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock; readonly audit: Audit };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock; readonly audit: Audit }) {
    this.#deps = deps;
  }

  find(name: string): Promise<UserRow | undefined> {
    return this.#deps.storage.selectFrom("users").selectAll().where("name", "=", name).executeTakeFirst();
  }

  list(): Promise<UserRow[]> {
    return this.#deps.storage.selectFrom("users").selectAll().orderBy("name").execute();
  }

  async any(): Promise<boolean> {
    return (await this.#deps.storage.selectFrom("users").select("name").limit(1).executeTakeFirst()) !== undefined;
  }

  /** Without a password: its person sets one by a link. `taken`: the name is somebody's, or means something else. Durable on return. */
  async add(
    user: { readonly name: string; readonly roles: readonly Role[]; readonly environments: readonly string[] },
    by: Actor,
  ): Promise<UserRow | "taken"> {
    const { storage, clock, audit } = this.#deps;
    if (reserved.includes(user.name)) return "taken";
    return storage.transaction().execute(async (tx) => {
      const row = newRow(user, by.name, clock.now());
      const { numInsertedOrUpdatedRows } = await tx
        .insertInto("users")
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow();
      if (numInsertedOrUpdatedRows === 0n) return "taken";
      const detail = { roles: user.roles, environments: user.environments };
      await audit.append(tx, { actor: by.name, action: "user.added", subject: `user/${user.name}`, detail });
      return row;
    });
  }

  /** Ends what a disabled user is signed in with. `last-admin`: nobody would be left who may set up users. Durable on return. */
  async edit(name: string, changes: UserChanges, by: Actor): Promise<EditOutcome> {
    const { storage, clock, audit } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      // all of them, so that two admins who disable each other take turns
      const rows = await locking(tx, tx.selectFrom("users").selectAll().orderBy("name")).execute();
      const before = rows.find((row) => row.name === name);
      if (!before) return { kind: "unknown" };
      const user: UserRow = {
        ...before,
        roles: changes.roles ? JSON.stringify(changes.roles) : before.roles,
        environments: changes.environments ? JSON.stringify(changes.environments) : before.environments,
        disabled_at:
          changes.disabled === undefined ? before.disabled_at : changes.disabled ? (before.disabled_at ?? clock.now()) : null,
        ...(changes.unlock ? { failures: 0, locked_until: null } : {}),
      };
      const others = rows.filter((row) => row.name !== name);
      if (leads(before) && ![...others, user].some(leads)) return { kind: "last-admin" };
      const { roles, environments, disabled_at, failures, locked_until } = user;
      await tx
        .updateTable("users")
        .set({ roles, environments, disabled_at, failures, locked_until })
        .where("name", "=", name)
        .execute();
      if (disabled_at !== null) await endAccess(tx, name);
      const { disabled, unlock, ...granted } = changes;
      const subject = `user/${name}`;
      const said = (action: string, detail?: Record<string, unknown>) =>
        audit.append(tx, { actor: by.name, action, subject, ...(detail ? { detail } : {}) });
      if (granted.roles ?? granted.environments) await said("user.changed", { ...granted });
      if (disabled !== undefined) await said(disabled ? "user.disabled" : "user.enabled");
      if (unlock) await said("user.unlocked");
      return { kind: "edited", user };
    });
  }
}

/** What somebody may do now. */
export function actorOf(user: UserRow): Actor {
  return { kind: "user", name: user.name, roles: rolesOf(user), environments: environmentsOf(user) };
}

export function rolesOf(row: { readonly roles: string }): Role[] {
  return JSON.parse(row.roles) as Role[];
}
export function environmentsOf(row: { readonly environments: string }): string[] {
  return JSON.parse(row.environments) as string[];
}

export function newRow(
  user: { readonly name: string; readonly roles: readonly Role[]; readonly environments: readonly string[] },
  createdBy: string,
  now: number,
): UserRow {
  return {
    name: user.name,
    password: null,
    roles: JSON.stringify(user.roles),
    environments: JSON.stringify(user.environments),
    created_at: now,
    created_by: createdBy,
    disabled_at: null,
    failures: 0,
    locked_until: null,
  };
}

/** Ends all that somebody is signed in with, and links that would sign him in again. */
export async function endAccess(tx: StorageTransaction, user: string): Promise<void> {
  await tx.deleteFrom("operator_sessions").where("user", "=", user).execute();
  await tx.deleteFrom("signin_codes").where("user", "=", user).execute();
}

function leads(row: UserRow): boolean {
  return row.disabled_at === null && rolesOf(row).includes("admin") && environmentsOf(row).includes("*");
}
