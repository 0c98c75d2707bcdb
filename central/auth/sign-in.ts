import { randomBytes } from "node:crypto";
import type { Clock } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { locking } from "../storage/dialect.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Actor } from "./actor.ts";
import { type BrowserSessions, isNow } from "./browser-sessions.ts";
import { isLocked, lockMs, type Sources } from "./lockout.ts";
import { isOutdated, type Passwords } from "./passwords.ts";
import { hex } from "./secret-text.ts";
import { endAccess, newRow, type UserRow } from "./users.ts";

/** From where somebody tries, and the session that the browser came with. */
export interface Attempt {
  readonly source: string;
  readonly previous: string | undefined;
}
export interface Begun {
  readonly kind: "begun";
  readonly user: UserRow;
  readonly secret: string;
  readonly csrf: string;
  readonly setsPassword: boolean;
}
/** `wrong`: whatever it was: no such user, another password, a locked or disabled user. Who tries is not told which. */
export type SignInOutcome =
  | Begun
  | { readonly kind: "wrong" | "busy" }
  | { readonly kind: "limited"; readonly retryAfterSeconds: number };

/** `first`: makes the user `admin`, while there is nobody. `password`: its user may then set one. */
export type LinkKind = "first" | "password" | "sign-in";
const linkLifeMs: Record<LinkKind, number> = { first: 24 * 3_600_000, password: 24 * 3_600_000, "sign-in": 10 * 60_000 };
/** Who the first one is. */
const firstUser = { name: "admin", roles: ["admin"], environments: ["*"] } as const;

export interface SignInDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly passwords: Passwords;
  readonly sources: Sources;
  readonly sessions: BrowserSessions;
}

/** The ways into a session: a password, or a link that is good once. Each try, right or wrong, is an entry of the audit log. */
export class SignIn {
  readonly #deps: SignInDeps;
  /** Tries of one name wait for each other: what is counted is counted before the next one is judged. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(deps: SignInDeps) {
    this.#deps = deps;
  }

  byPassword(name: string, password: string, { source, previous }: Attempt): Promise<SignInOutcome> {
    return this.#judged(name, password, source, async (tx, user) => {
      const { sessions, audit } = this.#deps;
      const begun = await sessions.begin(tx, { user: user.name, previous });
      const detail = { by: "password", source };
      await audit.append(tx, { actor: user.name, action: "login.succeeded", subject: `user/${user.name}`, detail });
      return { kind: "begun", user, ...begun, setsPassword: false };
    });
  }

  async byLink(code: string, { source, previous }: Attempt): Promise<SignInOutcome> {
    const limited = await this.#limited(source);
    if (limited) return limited;
    const { storage, sessions, audit } = this.#deps;
    const outcome = await storage.transaction().execute(async (tx): Promise<SignInOutcome> => {
      const user = await this.#takeCode(tx, code);
      if (!user) {
        const detail = { by: "link", source };
        await audit.append(tx, { actor: "anonymous", action: "login.failed", subject: "link", detail });
        return { kind: "wrong" };
      }
      const { setsPassword } = user;
      const begun = await sessions.begin(tx, { user: user.row.name, setsPassword, previous });
      const subject = `user/${user.row.name}`;
      await audit.append(tx, { actor: user.row.name, action: "login.succeeded", subject, detail: { by: "link", source } });
      return { kind: "begun", user: user.row, ...begun, setsPassword };
    });
    if (outcome.kind === "begun") this.#deps.sources.giveBack(source);
    return outcome;
  }

  /** A code for one sign-in; only its hash is kept. */
  async makeLink(
    user: string,
    kind: "password" | "sign-in",
    by: Actor,
  ): Promise<{ readonly code: string; readonly expiresAt: number }> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      const link = await this.#insertCode(tx, user, kind);
      const detail = { kind };
      await this.#deps.audit.append(tx, { actor: by.name, action: "link.made", subject: `user/${user}`, detail });
      return link;
    });
  }

  /** The link by which the first admin comes to be; undefined where there is somebody already. */
  async makeFirstLink(): Promise<string | undefined> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      if (await tx.selectFrom("users").select("name").limit(1).executeTakeFirst()) return undefined;
      return (await this.#insertCode(tx, firstUser.name, "first")).code;
    });
  }

  /**
   * Sets a password, ends every session of its user and begins another one. `current` proves who it is, unless a link did.
   */
  async setPassword(
    name: string,
    next: string,
    proof: { readonly current: string } | "link",
    { source }: Pick<Attempt, "source">,
  ): Promise<SignInOutcome> {
    const password = await this.#deps.passwords.hash(next);
    if (password === "busy") return { kind: "busy" };
    const set = async (tx: StorageTransaction, user: UserRow): Promise<Begun> => {
      const { sessions, audit } = this.#deps;
      await tx.updateTable("users").set({ password, failures: 0, locked_until: null }).where("name", "=", name).execute();
      await endAccess(tx, name);
      const begun = await sessions.begin(tx, { user: name });
      await audit.append(tx, { actor: name, action: "password.set", subject: `user/${name}`, detail: { source } });
      return { kind: "begun", user: { ...user, password }, ...begun, setsPassword: false };
    };
    if (proof !== "link") return this.#judged(name, proof.current, source, set);
    return this.#deps.storage.transaction().execute(async (tx) => {
      const user = await locking(tx, tx.selectFrom("users").selectAll().where("name", "=", name)).executeTakeFirst();
      return user && user.disabled_at === null ? set(tx, user) : { kind: "wrong" };
    });
  }

  /** Ends one session, as its user wants. */
  async signOut(secret: string, name: string): Promise<void> {
    const { storage, sessions, audit } = this.#deps;
    await storage.transaction().execute(async (tx) => {
      await sessions.end(tx, secret);
      await audit.append(tx, { actor: name, action: "session.ended", subject: `user/${name}` });
    });
  }

  /** Judges a password, and does what it opens in the transaction that counts it as right. */
  async #judged(
    name: string,
    password: string,
    source: string,
    opened: (tx: StorageTransaction, user: UserRow) => Promise<SignInOutcome>,
  ): Promise<SignInOutcome> {
    const limited = await this.#limited(source);
    if (limited) return limited;
    const outcome = await this.#inTurn(name, () => this.#judge(name, password, source, opened));
    if (outcome.kind !== "wrong") this.#deps.sources.giveBack(source);
    return outcome;
  }

  async #judge(
    name: string,
    password: string,
    source: string,
    opened: (tx: StorageTransaction, user: UserRow) => Promise<SignInOutcome>,
  ): Promise<SignInOutcome> {
    const { storage, clock, audit, passwords } = this.#deps;
    const known = await storage.selectFrom("users").selectAll().where("name", "=", name).executeTakeFirst();
    const open = known !== undefined && known.disabled_at === null && !isLocked(known, clock.now());
    // as much work for whoever is not there, locked or disabled
    const right = await passwords.verify(password, open ? known.password : null);
    if (right === "busy") return { kind: "busy" };
    const renewed = right && known?.password && isOutdated(known.password) ? await passwords.hash(password) : "busy";
    return storage.transaction().execute(async (tx) => {
      const row = await locking(tx, tx.selectFrom("users").selectAll().where("name", "=", name)).executeTakeFirst();
      const now = clock.now();
      // its password may have changed meanwhile, or it was locked by another replica's tries
      const stillOpen = row !== undefined && row.disabled_at === null && !isLocked(row, now) && row.password === known?.password;
      if (right && stillOpen) {
        const stored = renewed === "busy" ? row.password : renewed;
        await tx
          .updateTable("users")
          .set({ failures: 0, locked_until: null, password: stored })
          .where("name", "=", name)
          .execute();
        return opened(tx, { ...row, failures: 0, locked_until: null, password: stored });
      }
      const locked = row !== undefined && isLocked(row, now);
      const failures = (row?.failures ?? 0) + (locked ? 0 : 1);
      const forMs = locked ? 0 : lockMs(failures);
      await tx
        .updateTable("users")
        .set({ failures, ...(forMs > 0 ? { locked_until: now + forMs } : {}) })
        .where("name", "=", name)
        .execute();
      const event = { actor: "anonymous", subject: `user/${name}` };
      const action = locked ? "login.refused" : "login.failed";
      await audit.append(tx, { ...event, action, detail: { by: "password", source, ...(locked ? { locked } : {}) } });
      if (row && forMs > 0)
        await audit.append(tx, { ...event, action: "login.locked", detail: { failures, forSeconds: forMs / 1000 } });
      return { kind: "wrong" };
    });
  }

  async #limited(source: string): Promise<SignInOutcome | undefined> {
    const { sources, storage, audit } = this.#deps;
    const { overMs, begins } = sources.take(source);
    if (overMs === 0) return undefined;
    if (begins)
      await storage
        .transaction()
        .execute((tx) => audit.append(tx, { actor: "anonymous", action: "login.limited", subject: `source/${source}` }));
    return { kind: "limited", retryAfterSeconds: Math.ceil(overMs / 1000) };
  }

  async #inTurn<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => {});
    this.#turns.set(name, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    }
  }

  async #insertCode(tx: StorageTransaction, user: string, kind: LinkKind): Promise<{ code: string; expiresAt: number }> {
    const code = randomBytes(24).toString("base64url");
    const now = this.#deps.clock.now();
    const expiresAt = now + linkLifeMs[kind];
    await tx.deleteFrom("signin_codes").where("expires_at", "<", now).execute();
    await tx
      .insertInto("signin_codes")
      .values({ hash: hex(code), expires_at: expiresAt, user, kind })
      .execute();
    return { code, expiresAt };
  }

  async #takeCode(tx: StorageTransaction, code: string): Promise<{ row: UserRow; setsPassword: boolean } | undefined> {
    const now = this.#deps.clock.now();
    // whoever deletes it has it
    const taken = await tx.deleteFrom("signin_codes").where("hash", "=", hex(code)).returningAll().executeTakeFirst();
    const kind = taken?.kind as LinkKind | undefined;
    if (!taken || kind === undefined || !isNow(taken.expires_at, now, linkLifeMs[kind])) return undefined;
    if (kind === "first") return this.#makeFirst(tx, now);
    const row = await locking(tx, tx.selectFrom("users").selectAll().where("name", "=", taken.user)).executeTakeFirst();
    if (!row || row.disabled_at !== null) return undefined;
    await tx.updateTable("users").set({ failures: 0, locked_until: null }).where("name", "=", row.name).execute();
    return { row: { ...row, failures: 0, locked_until: null }, setsPassword: kind === "password" };
  }

  async #makeFirst(tx: StorageTransaction, now: number): Promise<{ row: UserRow; setsPassword: boolean } | undefined> {
    if (await tx.selectFrom("users").select("name").limit(1).executeTakeFirst()) return undefined;
    const row = newRow(firstUser, "central", now);
    // another replica's first link may be used at the same moment
    const { numInsertedOrUpdatedRows } = await tx
      .insertInto("users")
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows === 0n) return undefined;
    await tx.deleteFrom("signin_codes").where("kind", "=", "first").execute();
    const detail = { roles: firstUser.roles, environments: firstUser.environments, by: "first link" };
    await this.#deps.audit.append(tx, { actor: "central", action: "user.added", subject: `user/${row.name}`, detail });
    return { row, setsPassword: true };
  }
}
