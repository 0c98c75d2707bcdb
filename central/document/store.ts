import type { Clock } from "../../protocol/index.ts";
import { toInstant } from "../../protocol/index.ts";
import { adminKeyName } from "../auth/actor.ts";
import type { DocumentKind } from "../http/api/common.ts";
import type { DocumentHistory, DocumentRevision, DocumentSummary } from "../http/api/documents.ts";
import type { Database, StorageTransaction } from "../storage/storage.ts";
import type { DocumentRef } from "./planned.ts";
import type { DocumentSource } from "./render-work.ts";
import { documentDigest, type WrittenDocument } from "./split.ts";

/** What of a document is in force somewhere. */
export interface InForce extends DocumentRef {
  readonly change: number;
}

export interface StoredDocument extends DocumentSource {
  readonly digest: string;
  readonly createdBy: string;
}

/** Documents: revisions that never change once they are written, and which of them is in force in which environment. */
export class DocumentStore {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Writes a document as its next revision; what says the same as the newest one is that one, unless that was nobody's (of the admin token) and
   * becomes somebody's by this. Files that it names and that did not come with it are those of `before`. Under the lock of changes.
   */
  async write(
    tx: StorageTransaction,
    document: WrittenDocument,
    by: { readonly actor: string; readonly change: number; readonly before: number },
  ): Promise<number> {
    const { kind, name, text } = document;
    const attachments = { ...document.attachments };
    if (document.missing.length > 0 && by.before > 0) {
      const [before] = await this.read(tx, [{ kind, name, revision: by.before }]);
      for (const file of document.missing) {
        const kept = Object.entries(before?.attachments ?? {}).find(([other]) => other === file);
        if (kept) attachments[file] = kept[1];
      }
    }
    const digest = documentDigest({ text, attachments });
    const newest = await tx
      .selectFrom("document_revisions")
      .select(["revision", "digest", "created_by"])
      .where("kind", "=", kind)
      .where("name", "=", name)
      .orderBy("revision", "desc")
      .limit(1)
      .executeTakeFirst();
    const adopted = newest?.created_by === adminKeyName && by.actor !== adminKeyName;
    if (newest?.digest === digest && !adopted) return newest.revision;
    const revision = (newest?.revision ?? 0) + 1;
    await tx
      .insertInto("document_revisions")
      .values({
        ...{ kind, name, revision, digest, text },
        attachments: JSON.stringify(attachments),
        owner: document.owner,
        purpose: document.purpose,
        labels: JSON.stringify(document.labels),
        created_at: this.#clock.now(),
        created_by: by.actor,
        change: by.change,
      })
      .execute();
    return revision;
  }

  /** Revisions with their texts; those that there are not, and removals, are left out. */
  async read(db: Database, refs: readonly DocumentRef[]): Promise<StoredDocument[]> {
    const found: StoredDocument[] = [];
    for (const { kind, name, revision } of refs) {
      if (revision === 0) continue;
      const row = await db
        .selectFrom("document_revisions")
        .select(["text", "attachments", "digest", "created_by"])
        .where("kind", "=", kind)
        .where("name", "=", name)
        .where("revision", "=", revision)
        .executeTakeFirst();
      if (!row) continue;
      const attachments = JSON.parse(row.attachments) as Record<string, string>;
      found.push({ kind, name, revision, text: row.text, attachments, digest: row.digest, createdBy: row.created_by });
    }
    return found;
  }

  async inForce(db: Database, environment: string): Promise<InForce[]> {
    const rows = await db
      .selectFrom("environment_documents")
      .select(["kind", "name", "revision", "change"])
      .where("environment", "=", environment)
      .orderBy("kind")
      .orderBy("name")
      .execute();
    return rows.map((row) => ({ ...row, kind: row.kind as DocumentKind }));
  }

  /** What a change brought into force; revision 0 takes a document away. */
  async putInForce(tx: StorageTransaction, environment: string, change: number, refs: readonly DocumentRef[]): Promise<void> {
    for (const { kind, name, revision } of refs) {
      await tx
        .deleteFrom("environment_documents")
        .where("environment", "=", environment)
        .where("kind", "=", kind)
        .where("name", "=", name)
        .execute();
      if (revision === 0) continue;
      await tx
        .insertInto("environment_documents")
        .values({ environment, kind, name, revision, change, since: this.#clock.now() })
        .execute();
    }
  }

  async list(db: Database): Promise<DocumentSummary[]> {
    const newest = db
      .selectFrom("document_revisions")
      .select(({ fn }) => ["kind", "name", fn.max("revision").as("revision")])
      .groupBy(["kind", "name"])
      .as("newest");
    const rows = await db
      .selectFrom("document_revisions as d")
      .innerJoin(newest, (join) =>
        join.onRef("d.kind", "=", "newest.kind").onRef("d.name", "=", "newest.name").onRef("d.revision", "=", "newest.revision"),
      )
      .select(["d.kind", "d.name", "d.revision", "d.owner", "d.purpose", "d.labels", "d.created_at", "d.created_by"])
      .orderBy("d.kind")
      .orderBy("d.name")
      .execute();
    const environments = new Map<string, Record<string, number>>();
    for (const { environment, kind, name, revision } of await db.selectFrom("environment_documents").selectAll().execute()) {
      const key = `${kind}/${name}`;
      environments.set(key, { ...environments.get(key), [environment]: revision });
    }
    return rows.map((row) => ({
      kind: row.kind as DocumentKind,
      name: row.name,
      owner: row.owner,
      purpose: row.purpose,
      labels: JSON.parse(row.labels) as Record<string, string>,
      revision: row.revision,
      environments: environments.get(`${row.kind}/${row.name}`) ?? {},
      changedAt: toInstant(row.created_at),
      changedBy: row.created_by,
    }));
  }

  async history(db: Database, kind: DocumentKind, name: string): Promise<DocumentHistory | undefined> {
    const summary = (await this.list(db)).find((each) => each.kind === kind && each.name === name);
    if (!summary) return undefined;
    const rows = await db
      .selectFrom("document_revisions")
      .select(["revision", "digest", "created_at", "created_by", "change"])
      .where("kind", "=", kind)
      .where("name", "=", name)
      .orderBy("revision", "desc")
      .execute();
    return {
      ...summary,
      revisions: rows.map((row) => ({
        revision: row.revision,
        digest: row.digest,
        createdAt: toInstant(row.created_at),
        createdBy: row.created_by,
        change: row.change,
      })),
    };
  }

  async revision(db: Database, kind: DocumentKind, name: string, revision: number): Promise<DocumentRevision | undefined> {
    const row = await db
      .selectFrom("document_revisions")
      .selectAll()
      .where("kind", "=", kind)
      .where("name", "=", name)
      .where("revision", "=", revision)
      .executeTakeFirst();
    if (!row) return undefined;
    return {
      ...{ kind, name, revision, digest: row.digest, text: row.text, owner: row.owner, purpose: row.purpose },
      attachments: JSON.parse(row.attachments) as Record<string, string>,
      createdAt: toInstant(row.created_at),
      createdBy: row.created_by,
      change: row.change,
    };
  }
}

/** Another environment in which the Site document of this name is in force. */
export async function otherHomeOf(db: Database, site: string, environment: string): Promise<string | undefined> {
  const elsewhere = await db
    .selectFrom("environment_documents")
    .select("environment")
    .where("kind", "=", "Site")
    .where("name", "=", site)
    .where("environment", "!=", environment)
    .executeTakeFirst();
  return elsewhere?.environment;
}
