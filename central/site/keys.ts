import type { Selectable } from "kysely";
import type { Clock, SealKey } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { configurationChanged } from "../router/routes.ts";
import { locking } from "../storage/dialect.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { KeyTables } from "../storage/tables/keys.ts";
import { fingerprintOf } from "./public-key.ts";

export type GatewayKey = Selectable<KeyTables["gateway_keys"]>;
export type KeyOrigin = "added" | "enrolled" | "imported" | "rotated";
export interface NewKey {
  /** Ed25519, SPKI PEM in its normal spelling. */
  readonly publicKey: string;
  readonly sealKey: SealKey | undefined;
}

/** `revoked`: a key that was revoked stays so. `elsewhere`: another site has it. */
export type PinOutcome =
  | { readonly kind: "pinned"; readonly key: GatewayKey }
  | { readonly kind: "revoked" | "elsewhere"; readonly detail: string };
export type IntroduceOutcome =
  | { readonly kind: "introduced" | "known"; readonly key: GatewayKey; readonly retiresAt: number }
  | { readonly kind: "refused"; readonly detail: string };

export interface GatewayKeysDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
}

/** The longest that two keys of a site are taken. */
export const maxOverlapMs = 7 * 86_400_000;

/** Whether a gateway may sign with it now. An end that lies further ahead than any may was noted by a clock that was wrong, then or now (P10). */
export function isLive(key: Pick<GatewayKey, "state" | "retires_at">, now: number): boolean {
  const left = (key.retires_at ?? 0) - now;
  return key.state === "active" || (key.state === "retiring" && left > 0 && left <= maxOverlapMs);
}

/**
 * The keys of the sites' gateways. Modes of one: `pending` (enrolled, a person has to confirm it) → `active` → `retiring` (its successor is
 * active, it is taken a while longer) → `retired`; `active`, `retiring` → `moved` (its gateway went to other hardware, whoever has it still is a copy) or
 * `replaced` (a person let another gateway in); any of them → `revoked`, which it stays. A site has one active key at most. Each change is an entry of the audit log, in the same transaction.
 */
export class GatewayKeys {
  readonly #deps: GatewayKeysDeps;

  constructor(deps: GatewayKeysDeps) {
    this.#deps = deps;
  }

  /** The newest first. */
  list(site: string): Promise<GatewayKey[]> {
    return this.#deps.storage
      .selectFrom("gateway_keys")
      .selectAll()
      .where("site", "=", site)
      .orderBy("created_at", "desc")
      .orderBy("fingerprint")
      .execute();
  }

  find(
    site: string,
    fingerprint: string,
    db: Storage | StorageTransaction = this.#deps.storage,
  ): Promise<GatewayKey | undefined> {
    return keyOf(db, site, fingerprint);
  }

  /** Lets a key wait for a person; one that is live already stays so, with the key to seal to that it brings. */
  async offer(tx: StorageTransaction, site: string, offered: NewKey): Promise<PinOutcome> {
    const known = await this.#lock(tx, site, fingerprintOf(offered.publicKey));
    const refused = await refusal(tx, site, known, offered);
    if (refused) return refused;
    const key = {
      ...this.#fresh(site, offered, "enrolled"),
      ...(known && isLive(known, this.#deps.clock.now()) ? { state: known.state, origin: known.origin } : { state: "pending" }),
    };
    await put(tx, key, known);
    await this.#deps.audit.append(tx, {
      actor: `site:${site}`,
      action: "key.enrolled",
      subject: `site/${site}`,
      detail: { fingerprint: key.fingerprint, state: key.state },
    });
    return { kind: "pinned", key: { ...key, ...keep(known) } };
  }

  /** A person confirms a key that waits: from now on it alone signs for the site. `other`: what waits is not that one. */
  async confirm(
    site: string,
    fingerprint: string,
    actor: string,
  ): Promise<{ kind: "confirmed" | "known" } | { kind: "other"; detail: string }> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      await configurationChanged(tx);
      const key = await this.#lock(tx, site, fingerprint);
      if (key?.state === "active") return { kind: "known" } as const;
      if (key?.state !== "pending") {
        const detail = key
          ? `the key ${short(fingerprint)} of site "${site}" is ${key.state}`
          : `no key ${short(fingerprint)} waits at site "${site}"`;
        return { kind: "other", detail: `${detail}; compare the fingerprint with what the gateway shows` } as const;
      }
      await this.#makeOnly(tx, key, actor);
      return { kind: "confirmed" } as const;
    });
  }

  /** A key that a person brought: it alone signs for the site. Behind {@link configurationChanged}, which comes before sites are locked. */
  async pin(tx: StorageTransaction, site: string, brought: NewKey, origin: KeyOrigin, actor: string): Promise<PinOutcome> {
    const known = await this.#lock(tx, site, fingerprintOf(brought.publicKey));
    const refused = await refusal(tx, site, known, brought);
    if (refused) return refused;
    const key = {
      ...this.#fresh(site, brought, origin),
      state: "pending",
      seal_key: sealText(brought) ?? known?.seal_key ?? null,
    };
    await put(tx, key, known);
    await this.#makeOnly(tx, key, actor);
    return { kind: "pinned", key: { ...key, state: "active" } };
  }

  /**
   * The site's active key introduces the next one: that one is active now, the old one is taken until the overlap is over, or, where the gateway
   * `moved`, not any more. The same introduction again changes nothing, as an answer gets lost. A key that introduces itself says what secrets
   * are sealed to with it.
   */
  async introduce(
    site: string,
    by: string,
    next: NewKey,
    { overlapMs, moved = false }: { readonly overlapMs: number; readonly moved?: boolean },
  ): Promise<IntroduceOutcome> {
    const { storage, clock, audit } = this.#deps;
    const fingerprint = fingerprintOf(next.publicKey);
    const now = clock.now();
    return storage.transaction().execute(async (tx): Promise<IntroduceOutcome> => {
      const known = await this.#lock(tx, site, fingerprint);
      const old = await keyOf(tx, site, by);
      if (!old || !isLive(old, now))
        return { kind: "refused", detail: `the key ${short(by)} does not sign for site "${site}" any more` };
      if (known && fingerprint === by) return this.#setSealKey(tx, known, next);
      if (known?.state === "active" && old.state === "retiring" && known.seal_key === sealText(next))
        return { kind: "known", key: known, retiresAt: old.retires_at ?? now };
      if (old.state !== "active") return { kind: "refused", detail: "another key has followed this one: it may introduce none" };
      if (known) return { kind: "refused", detail: "a key that was known before is not introduced again; make a new one" };
      const elsewhere = await refusal(tx, site, known, next);
      if (elsewhere) return { kind: "refused", detail: elsewhere.detail };
      const retiresAt = moved ? now : now + overlapMs;
      // a second rotation within the first one's overlap: two are taken at once, never three. What a gateway that moved left behind may be as old as
      // any of its keys
      if (moved) await setState(tx, site, "moved", { from: ["retiring", "retired"] });
      else await setState(tx, site, "retired", { from: ["retiring"] });
      await tx
        .updateTable("gateway_keys")
        .set({ state: moved ? "moved" : "retiring", retires_at: retiresAt, rotate_asked_at: null })
        .where("site", "=", site)
        .where("fingerprint", "=", by)
        .execute();
      const key = { ...this.#fresh(site, next, "rotated"), state: "active", confirmed_at: now, confirmed_by: `key:${by}` };
      await put(tx, key, undefined);
      const overlapSeconds = Math.round((retiresAt - now) / 1000);
      const detail = { fingerprint, before: by, overlapSeconds, ...(moved ? { moved } : {}) };
      await audit.append(tx, { actor: `site:${site}`, action: "key.rotated", subject: `site/${site}`, detail });
      return { kind: "introduced", key, retiresAt };
    });
  }

  async #setSealKey(tx: StorageTransaction, key: GatewayKey, next: NewKey): Promise<IntroduceOutcome> {
    const { clock, audit } = this.#deps;
    const [sealed, retiresAt] = [sealText(next) ?? null, clock.now()];
    if (key.seal_key === sealed) return { kind: "known", key, retiresAt };
    const { site, fingerprint } = key;
    await tx
      .updateTable("gateway_keys")
      .set({ seal_key: sealed })
      .where("site", "=", site)
      .where("fingerprint", "=", fingerprint)
      .execute();
    await audit.append(tx, {
      actor: `site:${site}`,
      action: "key.sealKeyTold",
      subject: `site/${site}`,
      detail: { fingerprint },
    });
    return { kind: "introduced", key: { ...key, seal_key: sealed }, retiresAt };
  }

  /** @returns whether there is a key to change: its gateway does so with its next report */
  async askRotation(site: string, actor: string): Promise<boolean> {
    const { storage, clock, audit } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      const { numUpdatedRows } = await tx
        .updateTable("gateway_keys")
        .set({ rotate_asked_at: clock.now() })
        .where("site", "=", site)
        .where("state", "=", "active")
        .executeTakeFirst();
      if (numUpdatedRows === 0n) return false;
      await audit.append(tx, { actor, action: "key.rotationAsked", subject: `site/${site}` });
      return true;
    });
  }

  /**
   * Durable on return: the key is refused from then on, for good. `false`: there is no such key. One that was left behind stays what it is: whoever has
   * it still is to be told so, and to stop.
   */
  async revoke(site: string, fingerprint: string, actor: string): Promise<boolean> {
    const { storage, audit } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      const key = await this.#lock(tx, site, fingerprint);
      if (!key) return false;
      if (key.state === "revoked" || key.state === "moved") return true;
      await setState(tx, site, "revoked", { only: fingerprint });
      await audit.append(tx, { actor, action: "key.revoked", subject: `site/${site}`, detail: { fingerprint } });
      return true;
    });
  }

  /** All keys of a site, in the transaction that takes its access away. */
  async revokeAll(tx: StorageTransaction, site: string): Promise<void> {
    await setState(tx, site, "revoked");
    await tx
      .updateTable("enrollment_tokens")
      .set({ expires_at: 0 })
      .where("site", "=", site)
      .where("used_at", "is", null)
      .execute();
  }

  /** Notes which keys' overlap is over. @returns their sites */
  async retire(): Promise<readonly string[]> {
    const { storage, clock, audit } = this.#deps;
    const now = clock.now();
    const retiring = await storage.selectFrom("gateway_keys").selectAll().where("state", "=", "retiring").execute();
    const due = retiring.filter((key) => !isLive(key, now));
    for (const { site, fingerprint, retires_at } of due)
      await storage.transaction().execute(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("gateway_keys")
          .set({ state: "retired" })
          .where("site", "=", site)
          .where("fingerprint", "=", fingerprint)
          .where("state", "=", "retiring")
          .where("retires_at", "=", retires_at)
          .executeTakeFirst();
        // another replica was first
        if (numUpdatedRows === 0n) return;
        await audit.append(tx, { actor: "central", action: "key.retired", subject: `site/${site}`, detail: { fingerprint } });
      });
    return due.map(({ site }) => site);
  }

  /** The key is active, all others that might sign are not any more, and the site is let in again where it was not. */
  async #makeOnly(tx: StorageTransaction, { site, fingerprint, origin }: GatewayKey, actor: string): Promise<void> {
    const { clock, audit } = this.#deps;
    await setState(tx, site, "replaced", { from: ["active", "retiring"], but: fingerprint });
    await setState(tx, site, "retired", { from: ["pending"], but: fingerprint });
    await tx
      .updateTable("gateway_keys")
      .set({ state: "active", confirmed_at: clock.now(), confirmed_by: actor, retires_at: null, rotate_asked_at: null })
      .where("site", "=", site)
      .where("fingerprint", "=", fingerprint)
      .execute();
    // whoever ran as this site before says hello in vain; an own restart says it anew
    await tx.updateTable("sites").set({ revoked_at: null, session: null, fenced_at: null }).where("name", "=", site).execute();
    const action = origin === "enrolled" ? "key.confirmed" : `key.${origin}`;
    await audit.append(tx, { actor, action, subject: `site/${site}`, detail: { fingerprint } });
  }

  #fresh(site: string, key: NewKey, origin: KeyOrigin): GatewayKey {
    return {
      site,
      fingerprint: fingerprintOf(key.publicKey),
      public_key: key.publicKey,
      seal_key: sealText(key) ?? null,
      state: "pending",
      origin,
      created_at: this.#deps.clock.now(),
      confirmed_at: null,
      confirmed_by: null,
      retires_at: null,
      rotate_asked_at: null,
    };
  }

  /** One change of a site's keys at a time, whichever replica makes it: behind the site's row. */
  async #lock(tx: StorageTransaction, site: string, fingerprint: string): Promise<GatewayKey | undefined> {
    await locking(tx, tx.selectFrom("sites").select("name").where("name", "=", site)).execute();
    return keyOf(tx, site, fingerprint);
  }
}

function keyOf(db: Storage | StorageTransaction, site: string, fingerprint: string): Promise<GatewayKey | undefined> {
  return db
    .selectFrom("gateway_keys")
    .selectAll()
    .where("site", "=", site)
    .where("fingerprint", "=", fingerprint)
    .executeTakeFirst();
}

/** A key belongs to one site, for ever: a copied data folder is no second plant. */
async function refusal(
  tx: StorageTransaction,
  site: string,
  known: GatewayKey | undefined,
  { publicKey }: NewKey,
): Promise<(PinOutcome & { kind: "revoked" | "elsewhere" }) | undefined> {
  const fingerprint = fingerprintOf(publicKey);
  const another = "delete the folder identity of the gateway's data folder, so that it makes a new one";
  if (known?.state === "revoked")
    return { kind: "revoked", detail: `the key ${short(fingerprint)} was revoked and stays so; ${another}` };
  const elsewhere = await tx
    .selectFrom("gateway_keys")
    .select("site")
    .where("fingerprint", "=", fingerprint)
    .where("site", "!=", site)
    .executeTakeFirst();
  return elsewhere && { kind: "elsewhere", detail: `the key ${short(fingerprint)} belongs to another site already; ${another}` };
}

async function put(tx: StorageTransaction, key: GatewayKey, known: GatewayKey | undefined): Promise<void> {
  const { site, fingerprint, public_key: _, ...changes } = { ...key, ...keep(known) };
  if (known)
    await tx.updateTable("gateway_keys").set(changes).where("site", "=", site).where("fingerprint", "=", fingerprint).execute();
  else await tx.insertInto("gateway_keys").values(key).execute();
}

/** What stays as it was of a key that comes again. */
function keep(known: GatewayKey | undefined): Partial<GatewayKey> {
  if (!known) return {};
  const { created_at, confirmed_at, confirmed_by, retires_at, rotate_asked_at } = known;
  return { created_at, confirmed_at, confirmed_by, retires_at, rotate_asked_at };
}

/** Of a site's keys, those in one of these states; a revoked one stays so. */
async function setState(
  tx: StorageTransaction,
  site: string,
  state: "retired" | "moved" | "replaced" | "revoked",
  { from, only, but }: { from?: readonly string[]; only?: string; but?: string } = {},
): Promise<void> {
  let keys = tx
    .updateTable("gateway_keys")
    .set({ state, rotate_asked_at: null })
    .where("site", "=", site)
    .where("state", "!=", "revoked");
  if (from) keys = keys.where("state", "in", from);
  if (only !== undefined) keys = keys.where("fingerprint", "=", only);
  if (but !== undefined) keys = keys.where("fingerprint", "!=", but);
  await keys.execute();
}

function sealText({ sealKey }: NewKey): string | undefined {
  return sealKey && JSON.stringify({ kty: sealKey.kty, crv: sealKey.crv, x: sealKey.x });
}

/** Enough to tell keys apart in a sentence. */
function short(fingerprint: string): string {
  return fingerprint.slice(0, 16);
}
