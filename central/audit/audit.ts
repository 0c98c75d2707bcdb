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

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Appends, in the transaction of what it speaks of; entries of other transactions wait for this one. */
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

  /** Goes through the whole log. `badAt`: the first number that does not fit what stands before it; `head`: the hash to keep elsewhere. */
  async verify(storage: Storage): Promise<{ readonly entries: number; readonly head: string; readonly badAt: number | null }> {
    let [number, hash] = [0, genesis];
    for (;;) {
      const rows = await storage
        .selectFrom("audit")
        .selectAll()
        .where("number", ">", number)
        .orderBy("number")
        .limit(1000)
        .execute();
      for (const row of rows) {
        if (row.number !== number + 1 || row.hash !== chained(hash, row.entry))
          return { entries: number, head: hash, badAt: number + 1 };
        [number, hash] = [row.number, row.hash];
      }
      if (rows.length === 0) break;
    }
    const { value } = await storage.selectFrom("counters").select("value").where("name", "=", "audit").executeTakeFirstOrThrow();
    // entries that were cut off at the end leave the counter ahead
    return { entries: number, head: hash, badAt: value === number ? null : number + 1 };
  }
}

function chained(before: string, entry: string): string {
  return createHash("sha256").update(before).update(entry).digest("hex");
}
