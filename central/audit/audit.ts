import { createHash } from "node:crypto";
import { type Clock, toInstant } from "../../protocol/index.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

/** One thing that somebody did. */
export interface AuditEvent {
  /** A person, `site:NAME` for a gateway, `central` for what nobody asked for. */
  readonly actor: string;
  /** `noun.pastVerb`: `change.approved`, `login.failed`, `secret.set`. */
  readonly action: string;
  /** What it was done to: `change/12`, `site/lyon`, `Template/assembly-plant`. */
  readonly subject: string;
  /** Never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

const genesis = createHash("sha256").update("plantgate audit").digest("hex");

/**
 * The audit log: each entry's hash covers the one before it and the entry's exact stored bytes, so that nobody changes, drops or inserts one
 * unseen (P12). What is done and its entry are one transaction.
 */
export class Audit {
  readonly #clock: Clock;
  #verifying: Promise<Verification> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Appends, in the transaction of what it speaks of. Entries of other transactions wait for this one to end: append last, so that nobody who
   * waits here holds what this one still wants.
   */
  async append(tx: StorageTransaction, { actor, action, subject, detail }: AuditEvent): Promise<void> {
    const { value: number } = await tx
      .updateTable("counters")
      .set((eb) => ({ value: eb("value", "+", 1) }))
      .where("name", "=", "audit")
      .returning("value")
      .executeTakeFirstOrThrow();
    const last = await tx
      .selectFrom("audit")
      .select("hash")
      .where("number", "=", number - 1)
      .executeTakeFirst();
    const entry = JSON.stringify({
      number,
      at: toInstant(this.#clock.now()),
      actor,
      action,
      subject,
      ...(detail ? { detail } : {}),
    });
    await tx
      .insertInto("audit")
      .values({ number, entry, hash: chained(last?.hash ?? genesis, entry) })
      .execute();
  }

  /**
   * Goes through the whole log; those who ask at once share it. `badAt`: the first number that does not fit what stands before it, or what was kept
   * elsewhere of it (`kept`: entry `at` had the hash `head`); without that, who rewrites the log whole, or cuts its end off with the counter, is not
   * found. `head`: what to keep.
   */
  async verify(storage: Storage, kept?: { readonly head: string; readonly at: number }): Promise<Verification> {
    this.#verifying ??= goThrough(storage).finally(() => {
      this.#verifying = undefined;
    });
    const judged = await this.#verifying;
    if (!kept) return judged;
    const row = await storage.selectFrom("audit").select("hash").where("number", "=", kept.at).executeTakeFirst();
    const badAt = row?.hash === kept.head ? judged.badAt : Math.min(judged.badAt ?? kept.at, kept.at, judged.entries + 1);
    return { ...judged, badAt };
  }

  /** The last entry's number and hash: what to keep elsewhere. */
  async head(storage: Storage): Promise<{ readonly entries: number; readonly head: string }> {
    const last = await storage
      .selectFrom("audit")
      .select(["number", "hash"])
      .orderBy("number", "desc")
      .limit(1)
      .executeTakeFirst();
    return { entries: last?.number ?? 0, head: last?.hash ?? genesis };
  }
}

export interface Verification {
  readonly entries: number;
  readonly head: string;
  readonly badAt: number | null;
}

async function goThrough(storage: Storage): Promise<Verification> {
  const before = await countOf(storage);
  let [number, hash] = [0, genesis];
  const bad = (): Verification => ({ entries: number, head: hash, badAt: number + 1 });
  for await (const rows of pagesOf(storage, 0)) {
    for (const row of rows) {
      if (row.number !== number + 1 || row.hash !== chained(hash, row.entry)) return bad();
      [number, hash] = [row.number, row.hash];
    }
  }
  // entries may come meanwhile; those that were cut off at the end leave the counter ahead, those that were added there behind
  const after = await countOf(storage);
  if (number < before) return bad();
  return { entries: number, head: hash, badAt: number > after ? after + 1 : null };
}

async function countOf(storage: Storage): Promise<number> {
  const { value } = await storage.selectFrom("counters").select("value").where("name", "=", "audit").executeTakeFirstOrThrow();
  return value;
}

const pageRows = 500;

/** The log's rows behind a number, in their order. */
async function* pagesOf(storage: Storage, after: number) {
  for (let number = after; ; ) {
    const rows = await storage
      .selectFrom("audit")
      .selectAll()
      .where("number", ">", number)
      .orderBy("number")
      .limit(pageRows)
      .execute();
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    number = last.number;
  }
}

function chained(before: string, entry: string): string {
  return createHash("sha256").update(before).update(entry).digest("hex");
}
