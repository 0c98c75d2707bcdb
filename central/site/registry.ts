import { randomUUID } from "node:crypto";
import type { Selectable } from "kysely";
import type { Clock } from "../../protocol/index.ts";
import { Audit } from "../audit/audit.ts";
import { configurationChanged } from "../router/routes.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { type GatewayKey, GatewayKeys } from "./keys.ts";
import { fingerprintOf, normalKey } from "./public-key.ts";

export type SiteRow = Selectable<Schema["sites"]>;
export type AddOutcome =
  | { readonly kind: "added" | "known" | "key-invalid" }
  | { readonly kind: "conflict"; readonly detail?: string };

/** A site, and the keys that a token of it may be signed with. */
export interface SiteWithKeys {
  readonly site: SiteRow;
  /** The one that the token names, whatever its state; all where it names none. */
  readonly keys: readonly GatewayKey[];
}

/** Which sites there are; what each one's gateway signs with is told by {@link GatewayKeys}. */
export class SiteRegistry {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };
  readonly #audit: Audit;
  readonly #keys: GatewayKeys;

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
    this.#audit = new Audit(deps.clock);
    this.#keys = new GatewayKeys({ ...deps, audit: this.#audit });
  }

  /**
   * Pins a site to its gateway's Ed25519 key (SPKI, PEM). The key that is active already changes nothing; another key is a conflict, unless the
   * site was revoked or has none: then the new key is pinned and the site's history goes on. Durable on return.
   */
  async add(name: string, publicKey: string, actor = "admin-token"): Promise<AddOutcome> {
    const pem = normalKey(publicKey);
    if (pem === undefined) return { kind: "key-invalid" };
    const added = this.#deps.storage.transaction().execute(async (tx): Promise<AddOutcome> => {
      // one at a time, whichever replica adds
      await configurationChanged(tx);
      const known = await tx.selectFrom("sites").selectAll().where("name", "=", name).executeTakeFirst();
      if (!known) await this.#create(tx, name, "", actor);
      const active = await tx
        .selectFrom("gateway_keys")
        .select("fingerprint")
        .where("site", "=", name)
        .where("state", "=", "active")
        .executeTakeFirst();
      if (known?.revoked_at === null && active) return { kind: active.fingerprint === fingerprintOf(pem) ? "known" : "conflict" };
      const pinned = await this.#keys.pin(tx, name, { publicKey: pem, sealKey: undefined }, "added", actor);
      if (pinned.kind === "pinned") return { kind: "added" };
      // nothing of it stays: no site without a key
      throw new PinRefused(pinned.detail);
    });
    return added.catch((error: unknown) => {
      if (error instanceof PinRefused) return { kind: "conflict", detail: error.message };
      throw error;
    });
  }

  /** A site whose gateway is still to be enrolled. `conflict`: it is there, in another environment. Durable on return. */
  async create(name: string, environment: string, actor: string): Promise<{ readonly kind: "created" | "known" | "conflict" }> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      await configurationChanged(tx);
      const known = await tx.selectFrom("sites").select("environment").where("name", "=", name).executeTakeFirst();
      if (known) return { kind: known.environment === environment ? "known" : "conflict" } as const;
      await this.#create(tx, name, environment, actor);
      return { kind: "created" } as const;
    });
  }

  async #create(tx: StorageTransaction, name: string, environment: string, actor: string): Promise<void> {
    await tx
      .insertInto("sites")
      .values({
        name,
        environment,
        created_at: this.#deps.clock.now(),
        revoked_at: null,
        labels: environment === "" ? "{}" : JSON.stringify({ environment }),
        desired_revision: 0,
        reported_revision: 0,
        session: null,
        fenced_at: null,
        downlink_epoch: randomUUID(),
        downlink_last: 0,
        downlink_acked: 0,
        last_heard_at: null,
        status: null,
        status_at: null,
        clock_skew_ms: null,
        behind: "{}",
      })
      .execute();
    await this.#audit.append(tx, { actor, action: "site.created", subject: `site/${name}`, detail: { environment } });
  }

  /** All keys of the site are revoked with it, for good. @returns whether there is such a site; a revoked one stays as it is */
  async revoke(name: string, actor = "admin-token"): Promise<boolean> {
    const { storage, clock } = this.#deps;
    if (!(await this.find(name))) return false;
    await storage.transaction().execute(async (tx) => {
      await configurationChanged(tx);
      const { numUpdatedRows } = await tx
        .updateTable("sites")
        .set({ revoked_at: clock.now() })
        .where("name", "=", name)
        .where("revoked_at", "is", null)
        .executeTakeFirst();
      await this.#keys.revokeAll(tx, name);
      if (numUpdatedRows > 0n) await this.#audit.append(tx, { actor, action: "site.revoked", subject: `site/${name}` });
    });
    return true;
  }

  /** @param fingerprint the key that a token names */
  async findWithKeys(name: string, fingerprint: string | undefined): Promise<SiteWithKeys | undefined> {
    const rows = await this.#deps.storage
      .selectFrom("sites")
      .leftJoin("gateway_keys as key", (join) => {
        const own = join.onRef("key.site", "=", "sites.name");
        return fingerprint === undefined ? own : own.on("key.fingerprint", "=", fingerprint);
      })
      .selectAll("sites")
      .select([
        "key.fingerprint",
        "key.public_key",
        "key.seal_key",
        "key.state",
        "key.origin",
        "key.created_at as key_created_at",
      ])
      .select(["key.confirmed_at", "key.confirmed_by", "key.retires_at", "key.rotate_asked_at"])
      .where("sites.name", "=", name)
      .execute();
    if (!rows[0]) return undefined;
    const keys = rows.flatMap(({ name: site, fingerprint, public_key, state, origin, key_created_at, ...rest }) => {
      if (fingerprint === null || public_key === null || state === null || origin === null || key_created_at === null) return [];
      const { seal_key, confirmed_at, confirmed_by, retires_at, rotate_asked_at } = rest;
      const times = { created_at: key_created_at, confirmed_at, confirmed_by, retires_at, rotate_asked_at };
      return [{ site, fingerprint, public_key, seal_key, state, origin, ...times }];
    });
    return { site: rows[0], keys };
  }

  /** Whether a gateway with another key runs as the site: since that one was let in, a session was begun. */
  async isTakenOver({ name, session }: SiteRow, fingerprint: string): Promise<boolean> {
    if (session === null) return false;
    const other = await this.#deps.storage
      .selectFrom("gateway_keys")
      .select("fingerprint")
      .where("site", "=", name)
      .where("state", "=", "active")
      .where("fingerprint", "!=", fingerprint)
      .executeTakeFirst();
    return other !== undefined;
  }

  find(name: string): Promise<SiteRow | undefined> {
    return this.#deps.storage.selectFrom("sites").selectAll().where("name", "=", name).executeTakeFirst();
  }

  list(): Promise<SiteRow[]> {
    return this.#deps.storage.selectFrom("sites").selectAll().orderBy("name").execute();
  }
}

/** Ends an addition without a trace of it. */
class PinRefused extends Error {}
