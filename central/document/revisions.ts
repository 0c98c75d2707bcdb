import { createHash } from "node:crypto";
import { decodeProtectedHeader } from "jose";
import type { Insertable } from "kysely";
import type { z } from "zod";
import { type Bundle, type Clock, type DocumentProblem, type SourceFile, toInstant } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { siteRevisions } from "../http/api/sites.ts";
import { configurationChanged } from "../router/routes.ts";
import type { Identity } from "../storage/folder.ts";
import type { Schema } from "../storage/schema.ts";
import { sign } from "../storage/signing-key.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { contentOf } from "./content.ts";
import type { Planned } from "./planned.ts";
import { judgePush, plainReview, type ReviewOf } from "./push-rule.ts";
import { renderPush } from "./render-work.ts";
import type { Renderer } from "./renderer.ts";

export type PushOutcome =
  | { readonly kind: "created" | "unchanged"; readonly revision: number; readonly digest: string }
  | { readonly kind: "invalid"; readonly problems: readonly DocumentProblem[] }
  /** It would skip a review, or give the site to another environment. */
  | { readonly kind: "refused"; readonly reason: string };

/** More revisions than any site ever has: a gateway that reports a higher number says nothing that could be true. */
const mostRevisions = 1_000_000_000;

export interface RevisionsDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly signing: Identity["signing"];
  /** Default: without policies. */
  readonly reviewOf?: ReviewOf;
  /** Renders what is pushed; without one it is rendered here. */
  readonly renderer?: Renderer;
  readonly audit?: Audit;
}

/** Who pushes, and whether he may in an environment: `authorize` throws where not. */
export interface Pusher {
  readonly name: string;
  readonly authorize: (environment: string) => void;
}

/** The revisions of the sites' configuration: built from documents, signed, numbered. */
export class Revisions {
  readonly #deps: RevisionsDeps;

  /** One push at a time: a revision's number is chosen before it is built and signed. */
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: RevisionsDeps) {
    this.#deps = deps;
  }

  /**
   * Makes the documents the site's desired revision. What says the same as the desired one is no new revision; what says the same as
   * an older one is (a way back). What the push does not bring stays as it was in the last revision. Durable on return.
   */
  push(site: string, files: readonly SourceFile[], by?: Pusher): Promise<PushOutcome> {
    const turn = this.#turn.then(() => this.#push(site, files, by));
    this.#turn = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  async #push(site: string, pushed: readonly SourceFile[], by?: Pusher): Promise<PushOutcome> {
    for (;;) {
      const outcome = await this.#tryPush(site, pushed, by);
      // another replica took the number meanwhile
      if (outcome) return outcome;
    }
  }

  async #tryPush(site: string, pushed: readonly SourceFile[], by?: Pusher): Promise<PushOutcome | undefined> {
    const { storage, clock, renderer, audit, reviewOf = plainReview } = this.#deps;
    const last = await this.#lastFiles(site);
    const desired = await this.#desired(site);
    const revision = Math.max(await this.#last(site), await this.#reported(site)) + 1;
    const job = { kind: "push" as const, site, revision, pushed, last };
    const { files, rendered: built } = await (renderer ? renderer.run(job) : renderPush(job));
    if (!built.ok) return { kind: "invalid", problems: built.problems };
    const labels = built.siteDocument.metadata.labels ?? {};
    const judged = await judgePush(storage, { site, labels, reviewOf });
    if ("refused" in judged) return { kind: "refused", reason: judged.refused };
    by?.authorize(judged.environment);
    const content = contentOf(built.bundle, labels);
    if (desired?.content === content) return { kind: "unchanged", revision: desired.revision, digest: desired.digest };

    const { payload, jws, digest } = await this.#signed(built.bundle);
    const made = await storage.transaction().execute(async (tx) => {
      await configurationChanged(tx);
      // it may have been given an environment meanwhile
      const still = await judgePush(tx, { site, labels, reviewOf });
      if ("refused" in still) return still.refused;
      const row = {
        site,
        revision,
        content,
        digest,
        bundle: payload,
        jws,
        files: JSON.stringify(files),
        labels: JSON.stringify(labels),
        created_at: clock.now(),
      };
      if (!(await insertRevision(tx, row))) return false;
      await this.desire(tx, site, revision);
      await audit?.append(tx, {
        actor: by?.name ?? "central",
        action: "site.pushed",
        subject: `site/${site}`,
        detail: { revision, digest, environment: still.environment },
      });
      return true;
    });
    if (typeof made === "string") return { kind: "refused", reason: made };
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

  /** A revision as its gateway fetches it: signed with the key of now, as the one that signed it first may not be taken any more. */
  async find(site: string, revision: number): Promise<{ revision: number; digest: string; jws: string } | undefined> {
    const { storage, signing } = this.#deps;
    const found = await storage
      .selectFrom("revisions")
      .select(["revision", "digest", "jws", "bundle"])
      .where("site", "=", site)
      .where("revision", "=", revision)
      .executeTakeFirst();
    if (!found) return undefined;
    const { bundle, ...stored } = found;
    return decodeProtectedHeader(stored.jws).kid === signing.kid ? stored : { ...stored, jws: await this.#sign(bundle) };
  }

  /** A site's revisions, the newest first. */
  async list(site: string): Promise<z.infer<typeof siteRevisions>["revisions"]> {
    const { storage } = this.#deps;
    const rows = await storage
      .selectFrom("revisions")
      .innerJoin("sites", "sites.name", "revisions.site")
      .select(["revision", "digest", "revisions.created_at", "change", "sites.desired_revision"])
      .where("site", "=", site)
      .orderBy("revision", "desc")
      .execute();
    return rows.map((row) => ({
      revision: row.revision,
      digest: row.digest,
      createdAt: toInstant(row.created_at),
      change: row.change === 0 ? null : row.change,
      desired: row.revision === row.desired_revision,
    }));
  }

  /** What a revision says. */
  async bundle(site: string, revision: number): Promise<Bundle | undefined> {
    const row = await this.#deps.storage
      .selectFrom("revisions")
      .select("bundle")
      .where("site", "=", site)
      .where("revision", "=", revision)
      .executeTakeFirst();
    return row && (JSON.parse(row.bundle) as Bundle);
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
    const payload = JSON.stringify(bundle);
    return { payload, jws: await this.#sign(payload), digest: createHash("sha256").update(payload).digest("hex") };
  }

  #sign(payload: string): Promise<string> {
    return sign(this.#deps.signing, payload);
  }
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
