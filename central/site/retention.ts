import { type ExpressionBuilder, sql } from "kysely";
import type { Lane } from "../../protocol/index.ts";
import type { Schema } from "../storage/schema.ts";
import type { StorageTransaction } from "../storage/storage.ts";

/** A process calls under its last session; what it had under way under earlier ones ends soon. */
const keptOfBoot = 10;
/** So that each of the last thousand processes of a site is known for an older one, and fenced. */
const keptOfSite = 10_000;
/** Epochs of a lane that nothing was recorded of. */
export const keptEmptyEpochs = 100;

/**
 * When a site's next session, or a lane's next epoch, began: the time, or just after the one before, where the clock was set back. What is newest,
 * and what goes, is told by it (P10).
 */
export function beginsAfter(newest: number | null | undefined, now: number): number {
  return Math.max(now, (newest ?? 0) + 1);
}

/**
 * Forgets sessions beyond the newest of their process, and beyond the newest of their site. The site's current one is the newest. One that is
 * forgotten is answered as unknown, no longer as fenced.
 */
export async function pruneSessions(tx: StorageTransaction, site: string, bootId: string): Promise<void> {
  for (const [kept, boot] of [
    [keptOfBoot, bootId],
    [keptOfSite, undefined],
  ] as const) {
    const oldest = tx
      .selectFrom("sessions as kept")
      .select("kept.started_at")
      .where("kept.site", "=", site)
      .$if(boot !== undefined, (query) => query.where("kept.boot_id", "=", boot ?? ""))
      .orderBy("kept.started_at", "desc")
      .offset(kept - 1)
      .limit(1);
    await tx
      .deleteFrom("sessions")
      .where("site", "=", site)
      .$if(boot !== undefined, (query) => query.where("boot_id", "=", boot ?? ""))
      .where("started_at", "<", oldest)
      .execute();
  }
}

/**
 * Forgets epochs of a lane that nothing was recorded of, not even a hole, beyond the newest. All others belong to the ledger: watermarks, chains
 * and completeness rest on them. The lane's current one is the newest of all.
 */
export async function pruneEpochs(tx: StorageTransaction, site: string, lane: Lane): Promise<void> {
  const isEmpty = (eb: ExpressionBuilder<Schema, "epochs">) => eb("watermark", "=", sql<number>`first_sequence - 1`);
  const oldest = await tx
    .selectFrom("epochs")
    .select("started_at")
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where(isEmpty)
    .orderBy("started_at", "desc")
    .offset(keptEmptyEpochs - 1)
    .limit(1)
    .executeTakeFirst();
  if (!oldest) return;
  await tx
    .deleteFrom("epochs")
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where(isEmpty)
    .where("started_at", "<", oldest.started_at)
    .execute();
}
