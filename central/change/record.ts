import { createHash } from "node:crypto";
import type { Selectable } from "kysely";
import type { DocumentRef } from "../document/planned.ts";
import { type ChangeState, type ChangeView, type RolloutStrategy, rolloutStrategy } from "../http/api/changes.ts";
import type { DocumentKind } from "../http/api/common.ts";
import { type CarriedRelease, parseCarried } from "../release/carried.ts";
import type { Schema } from "../storage/schema.ts";
import type { Database, StorageTransaction } from "../storage/storage.ts";

export type ChangeEventKind = ChangeView["events"][number]["kind"];

/** A document that a change carries. `base`: what was in force when the draft was written; 0: nothing. */
export interface Carried extends DocumentRef {
  readonly base: number;
}

/** A change as it lies in the database. */
export interface ChangeRecord {
  readonly row: Omit<Selectable<Schema["changes"]>, "state"> & { readonly state: ChangeState };
  readonly strategy: RolloutStrategy;
  readonly documents: readonly Carried[];
  /** The version that it carries instead of documents. */
  readonly release: CarriedRelease | null;
  readonly events: readonly (Selectable<Schema["change_events"]> & { readonly kind: ChangeEventKind })[];
}

/**
 * Whoever changes changes or documents, on whatever replica, does so one after the other; taken first in a transaction, before the locks of
 * configuration and audit.
 */
export async function lockChanges(tx: StorageTransaction): Promise<void> {
  await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb.ref("value") }))
    .where("name", "=", "change")
    .execute();
}

/** Under the lock. */
export async function nextNumber(tx: StorageTransaction): Promise<number> {
  const { value } = await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", 1) }))
    .where("name", "=", "change")
    .returning("value")
    .executeTakeFirstOrThrow();
  return value;
}

export async function loadChange(db: Database, number: number): Promise<ChangeRecord | undefined> {
  const row = await db.selectFrom("changes").selectAll().where("number", "=", number).executeTakeFirst();
  if (!row) return undefined;
  const documents = await db
    .selectFrom("change_documents")
    .select(["kind", "name", "revision", "base"])
    .where("change", "=", number)
    .orderBy("kind")
    .orderBy("name")
    .execute();
  const events = await db.selectFrom("change_events").selectAll().where("change", "=", number).orderBy("number").execute();
  return {
    row: row as ChangeRecord["row"],
    strategy: rolloutStrategy.parse(JSON.parse(row.strategy)),
    documents: documents as Carried[],
    release: parseCarried(row.release),
    events: events as ChangeRecord["events"],
  };
}

/** Replaces what a change carries, and gives it the digest of that: what an approval is about. Under the lock. */
export async function carry(
  tx: StorageTransaction,
  change: {
    readonly number: number;
    readonly environment: string;
    readonly title: string;
    readonly description: string;
    readonly strategy: RolloutStrategy;
    readonly expedited: boolean;
  },
  documents: readonly Carried[],
): Promise<string> {
  const { number, ...says } = change;
  await tx.deleteFrom("change_documents").where("change", "=", number).execute();
  for (const { kind, name, revision, base } of documents)
    await tx.insertInto("change_documents").values({ change: number, kind, name, revision, base }).execute();
  const digests: unknown[] = [];
  for (const { kind, name, revision, base } of sorted(documents))
    digests.push([kind, name, revision, base, await digestOf(tx, { kind, name, revision })]);
  const { release } = await tx.selectFrom("changes").select("release").where("number", "=", number).executeTakeFirstOrThrow();
  const carried = release === "" ? digests : [release];
  const digest = createHash("sha256")
    .update(JSON.stringify([number, says, carried]))
    .digest("hex");
  await tx.updateTable("changes").set({ digest }).where("number", "=", number).execute();
  return digest;
}

/** Notes what somebody did with a change. Under the lock. */
export async function addEvent(
  tx: StorageTransaction,
  event: {
    readonly change: number;
    readonly at: number;
    readonly actor: string;
    readonly kind: ChangeEventKind;
    text: string;
    digest: string;
  },
): Promise<void> {
  const last = await tx
    .selectFrom("change_events")
    .select(({ fn }) => fn.max("number").as("number"))
    .where("change", "=", event.change)
    .executeTakeFirst();
  await tx
    .insertInto("change_events")
    .values({ ...event, number: (last?.number ?? 0) + 1 })
    .execute();
}

/** Names of all who wrote it, the author first. */
export function writersOf({ row, events }: ChangeRecord): string[] {
  const edited = events.filter(({ kind }) => kind === "created" || kind === "edited").map(({ actor }) => actor);
  return [...new Set([row.author, ...edited])];
}

/** Who approved what it carries now: since it was submitted last, and of this very digest. */
export function approversOf({ row, events }: ChangeRecord): string[] {
  const submitted = events.findLast(({ kind }) => kind === "submitted")?.number ?? Number.POSITIVE_INFINITY;
  const back = events.findLast(({ kind }) => ["withdrawn", "rejected", "edited"].includes(kind))?.number ?? 0;
  const since = Math.max(submitted, back);
  return events
    .filter(({ kind, number, digest }) => kind === "approved" && number > since && digest === row.digest)
    .map(({ actor }) => actor);
}

function sorted(documents: readonly Carried[]): readonly Carried[] {
  const key = ({ kind, name }: Carried): string => `${kind}/${name}`;
  return documents.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
}

async function digestOf(db: Database, { kind, name, revision }: DocumentRef): Promise<string> {
  if (revision === 0) return "";
  const row = await db
    .selectFrom("document_revisions")
    .select("digest")
    .where("kind", "=", kind satisfies DocumentKind)
    .where("name", "=", name)
    .where("revision", "=", revision)
    .executeTakeFirstOrThrow();
  return row.digest;
}
