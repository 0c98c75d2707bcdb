import { randomUUID } from "node:crypto";
import type { Storage, StorageTransaction } from "./storage.ts";

/**
 * Notes which incarnation the ledger is. Where it was another one, the ledger was restored: numbers of the downlinks that were given out
 * after the backup would come again for other messages, so each site's downlink gets a new epoch.
 * @returns whether the ledger was another incarnation before
 */
export function adoptIncarnation(storage: Storage, incarnation: string): Promise<boolean> {
  return storage.transaction().execute(async (tx) => {
    const before = await tx.selectFrom("meta").select("value").where("name", "=", "incarnation").executeTakeFirst();
    if (before?.value === incarnation) return false;
    await tx
      .insertInto("meta")
      .values({ name: "incarnation", value: incarnation })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ value: incarnation }))
      .execute();
    if (!before) return false;
    for (const { name } of await tx.selectFrom("sites").select("name").execute()) await renameDownlink(tx, name);
    return true;
  });
}

/** A new epoch for a site's downlink: its gateway takes what follows as new, beginning with what was never acknowledged. */
export async function renameDownlink(tx: StorageTransaction | Storage, site: string): Promise<void> {
  await tx.updateTable("sites").set({ downlink_epoch: randomUUID() }).where("name", "=", site).execute();
}
