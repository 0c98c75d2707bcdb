import { createHash } from "node:crypto";
import { CompactSign } from "jose";
import type { Insertable } from "kysely";
import { type Bundle, type Clock, type DocumentProblem, renderSite, type SourceFile } from "../../protocol/index.ts";
import { configurationChanged } from "../router/routes.ts";
import type { Identity } from "../storage/folder.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { completePush } from "./merge.ts";
import type { Planned } from "./planned.ts";

export type PushOutcome =
  | { readonly kind: "created" | "unchanged"; readonly revision: number; readonly digest: string }
  | { readonly kind: "invalid"; readonly problems: readonly DocumentProblem[] };

/** More revisions than any site ever has: a gateway that reports a higher number says nothing that could be true. */
const mostRevisions = 1_000_000_000;

/** The revisions of the sites' configuration: built from documents, signed, numbered. */
export class Revisions {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock; readonly signing: Identity["signing"] };

  /** One push at a time: a revision's number is chosen before it is built and signed. */
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: { readonly storage: Storage; readonly clock: Clock; readonly signing: Identity["signing"] }) {
    this.#deps = deps;
  }

  /**
   * Makes the documents the site's desired revision. What says the same as the desired one is no new revision; what says the same as
   * an older one is (a way back). What the push does not bring stays as it was in the last revision. Durable on return.
   */
  push(site: string, files: readonly SourceFile[]): Promise<PushOutcome> {
    const turn = this.#turn.then(() => this.#push(site, files));
    this.#turn = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  async #push(site: string, pushed: readonly SourceFile[]): Promise<PushOutcome> {
    for (;;) {
      const outcome = await this.#tryPush(site, pushed);
      // another replica took the number meanwhile
      if (outcome) return outcome;
    }
  }

  async #tryPush(site: string, pushed: readonly SourceFile[]): Promise<PushOutcome | undefined> {
    const { storage, clock } = this.#deps;
    const files = completePush(pushed, await this.#lastFiles(site));
    const desired = await this.#desired(site);
    const revision = Math.max(await this.#last(site), await this.#reported(site)) + 1;
    const built = await renderSite({ files, site, revision });
    if (!built.ok) return { kind: "invalid", problems: built.problems };
    const content = contentOf(built.bundle, built.siteDocument.metadata.labels ?? {});
    if (desired?.content === content) return { kind: "unchanged", revision: desired.revision, digest: desired.digest };

    const { payload, jws, digest } = await this.#signed(built.bundle);
    const made = await storage.transaction().execute(async (tx) => {
      const row = {
        site,
        revision,
        content,
        digest,
        bundle: payload,
        jws,
        files: JSON.stringify(files),
        labels: JSON.stringify(built.siteDocument.metadata.labels ?? {}),
        created_at: clock.now(),
      };
      if (!(await insertRevision(tx, row))) return false;
      await this.desire(tx, site, revision);
      return true;
    });
    if (!made) return undefined;
    return { kind: "created", revision, digest };
  }

  /**
   * Gives what a site is to run a number: that of the revision that says the same already, else a new one. Nothing is desired by that; see
   * {@link desire}. Durable on return.
   */
  async store(site: string, planned: Planned, change: number): Promise<{ readonly revision: number; readonly digest: string }> {
    const { storage, clock } = this.#deps;
    for (;;) {
      const same = await storage
        .selectFrom("revisions")
        .select(["revision", "digest"])
        .where("site", "=", site)
        .where("content", "=", planned.content)
        .orderBy("revision", "desc")
        .limit(1)
        .executeTakeFirst();
      if (same) return same;
      const revision = Math.max(await this.#last(site), await this.#reported(site)) + 1;
      const { apiVersion, kind, site: name, ...says } = planned.bundle;
      const bundle: Bundle = { apiVersion, kind, site: name, revision, ...says };
      const { payload, jws, digest } = await this.#signed(bundle);
      const row = {
        ...{ site, revision, content: planned.content, digest, bundle: payload, jws, change },
        files: JSON.stringify(planned.files),
        labels: JSON.stringify(planned.labels),
        origins: JSON.stringify({ documents: planned.documents, values: planned.origins }),
        created_at: clock.now(),
      };
      // another replica, or a push, took the number meanwhile
      if (await storage.transaction().execute((tx) => insertRevision(tx, row))) return { revision, digest };
    }
  }

  /**
   * Makes a stored revision the one that the site should run: a newer one, or the way back to an older one. The site takes its labels from
   * it; its environment only where it has none yet.
   */
  async desire(tx: StorageTransaction, site: string, revision: number): Promise<void> {
    await configurationChanged(tx);
    const { labels } = await tx
      .selectFrom("revisions")
      .select("labels")
      .where("site", "=", site)
      .where("revision", "=", revision)
      .executeTakeFirstOrThrow();
    await tx.updateTable("sites").set({ desired_revision: revision }).where("name", "=", site).execute();
    if (labels === null) return;
    await tx.updateTable("sites").set({ labels }).where("name", "=", site).execute();
    const { environment } = JSON.parse(labels) as { environment?: string };
    if (environment === undefined) return;
    await tx.updateTable("sites").set({ environment }).where("name", "=", site).where("environment", "=", "").execute();
  }

  /** A revision as its gateway fetches it. */
  find(site: string, revision: number): Promise<{ revision: number; digest: string; jws: string } | undefined> {
    const { storage } = this.#deps;
    return storage
      .selectFrom("revisions")
      .select(["revision", "digest", "jws"])
      .where("site", "=", site)
      .where("revision", "=", revision)
      .executeTakeFirst();
  }

  /** The revision that the site should run: 0 before the first push. */
  async desired(site: string): Promise<{ revision: number; digest?: string }> {
    const desired = await this.#desired(site);
    return desired ? { revision: desired.revision, digest: desired.digest } : { revision: 0 };
  }

  #desired(site: string): Promise<{ revision: number; content: string; digest: string } | undefined> {
    return this.#deps.storage
      .selectFrom("sites")
      .innerJoin("revisions", (join) =>
        join.onRef("revisions.site", "=", "sites.name").onRef("revisions.revision", "=", "sites.desired_revision"),
      )
      .select(["revisions.revision", "revisions.content", "revisions.digest"])
      .where("sites.name", "=", site)
      .executeTakeFirst();
  }

  /** The documents of the desired revision. */
  async #lastFiles(site: string): Promise<SourceFile[]> {
    const { revision } = await this.desired(site);
    const row = await this.#deps.storage
      .selectFrom("revisions")
      .select("files")
      .where("site", "=", site)
      .where("revision", "=", revision)
      .executeTakeFirst();
    return row ? (JSON.parse(row.files) as SourceFile[]) : [];
  }

  async #last(site: string): Promise<number> {
    const row = await this.#deps.storage
      .selectFrom("revisions")
      .select((eb) => eb.fn.max("revision").as("last"))
      .where("site", "=", site)
      .executeTakeFirst();
    return row?.last ?? 0;
  }

  /** What its gateway runs, as far as this ledger may have given that out before it was restored: no number may mean two things. */
  async #reported(site: string): Promise<number> {
    const row = await this.#deps.storage
      .selectFrom("sites")
      .select("reported_revision as reported")
      .where("name", "=", site)
      .where("reported_revision", "<", mostRevisions)
      .executeTakeFirst();
    return row?.reported ?? 0;
  }

  /** Compact JWS over the bundle's JSON; gateways verify it with the key that they pinned when they were added. */
  async #signed(bundle: Bundle): Promise<{ readonly payload: string; readonly jws: string; readonly digest: string }> {
    const payload = Buffer.from(JSON.stringify(bundle));
    const { kid, privateKey } = this.#deps.signing;
    const jws = await new CompactSign(payload).setProtectedHeader({ alg: "EdDSA", kid }).sign(privateKey);
    return { payload: payload.toString(), jws, digest: createHash("sha256").update(payload).digest("hex") };
  }
}

/** What a revision says, whatever its number: the bundle, and what only central reads of the site's document. */
export function contentOf(bundle: Planned["bundle"] & Partial<Bundle>, labels: Planned["labels"]): string {
  const { revision: _, ...says } = bundle;
  return createHash("sha256")
    .update(JSON.stringify([says, labels]))
    .digest("hex");
}

/** @returns false where the number is taken */
async function insertRevision(tx: StorageTransaction, row: Insertable<Schema["revisions"]>): Promise<boolean> {
  const inserted = await tx
    .insertInto("revisions")
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return inserted.numInsertedOrUpdatedRows !== 0n;
}
