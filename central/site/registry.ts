import { createPublicKey, randomUUID } from "node:crypto";
import type { Selectable } from "kysely";
import type { Clock } from "../../protocol/index.ts";
import { configurationChanged } from "../router/routes.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage } from "../storage/storage.ts";

export type SiteRow = Selectable<Schema["sites"]>;
export type AddOutcome = { readonly kind: "added" | "known" } | { readonly kind: "conflict" } | { readonly kind: "key-invalid" };

/** Which sites there are, and the one public key that each is pinned to. */
export class SiteRegistry {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /**
   * Pins a site to its gateway's Ed25519 key (SPKI, PEM). The same key again changes nothing; another key is a conflict, unless the
   * site was revoked: then the new key is pinned and the site's history goes on. Durable on return.
   */
  async add(name: string, publicKey: string): Promise<AddOutcome> {
    const pem = normalKey(publicKey);
    if (pem === undefined) return { kind: "key-invalid" };
    return this.#deps.storage.transaction().execute(async (tx) => {
      // one at a time, whichever replica adds
      await configurationChanged(tx);
      const known = await tx.selectFrom("sites").selectAll().where("name", "=", name).executeTakeFirst();
      if (known && known.revoked_at === null) return { kind: known.public_key === pem ? "known" : "conflict" };
      if (known) {
        if (known.public_key === pem) return { kind: "conflict" }; // a key once revoked stays revoked
        await tx
          .updateTable("sites")
          .set({ public_key: pem, revoked_at: null, session: null, fenced_at: null })
          .where("name", "=", name)
          .execute();
        return { kind: "added" };
      }
      await tx
        .insertInto("sites")
        .values({
          name,
          public_key: pem,
          created_at: this.#deps.clock.now(),
          revoked_at: null,
          labels: "{}",
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
      return { kind: "added" };
    });
  }

  /** @returns whether there is such a site; a revoked one stays as it is */
  async revoke(name: string): Promise<boolean> {
    const { storage, clock } = this.#deps;
    if (!(await this.find(name))) return false;
    await storage.transaction().execute(async (tx) => {
      await configurationChanged(tx);
      await tx
        .updateTable("sites")
        .set({ revoked_at: clock.now() })
        .where("name", "=", name)
        .where("revoked_at", "is", null)
        .execute();
    });
    return true;
  }

  find(name: string): Promise<SiteRow | undefined> {
    return this.#deps.storage.selectFrom("sites").selectAll().where("name", "=", name).executeTakeFirst();
  }

  list(): Promise<SiteRow[]> {
    return this.#deps.storage.selectFrom("sites").selectAll().orderBy("name").execute();
  }
}

/** The key as SPKI PEM in one spelling; undefined for anything but an Ed25519 public key. */
function normalKey(pem: string): string | undefined {
  try {
    if (pem.includes("PRIVATE")) return undefined;
    const key = createPublicKey(pem);
    return key.asymmetricKeyType === "ed25519" ? key.export({ type: "spki", format: "pem" }).toString() : undefined;
  } catch {
    return undefined;
  }
}
