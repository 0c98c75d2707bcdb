import { hash } from "node:crypto";
import { sql } from "kysely";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

/**
 * Stands for an ordering key in the downlink: 48 bits of its hash. Two keys of one number only wait for each other while one of them is
 * parked.
 */
export function keyNumber(partitionKey: string): number {
  return hash("sha256", partitionKey, "buffer").readUIntBE(0, 6);
}

/** Keys of a site's downlink that are parked: what comes behind them may not pass (P4). */
export async function parkedKeys(db: Storage | StorageTransaction, site: string): Promise<Set<number>> {
  const rows = await db
    .selectFrom("downlink")
    .select("key")
    .distinct()
    .where("site", "=", site)
    .where("parked_at", "is not", null)
    .execute();
  return new Set(rows.map(({ key }) => key));
}

/** Parks messages of a site that cannot be read, and those of the rows given that share a parked key. Durable on return. */
export function park(
  storage: Storage,
  site: string,
  {
    unreadable,
    waiting,
    now,
  }: { readonly unreadable: readonly number[]; readonly waiting: readonly Waiting[]; readonly now: number },
): Promise<void> {
  return storage.transaction().execute(async (tx) => {
    await lockSite(tx, site);
    // what was parked when the rows were read may be released since
    const keys = await parkedKeys(tx, site);
    const parked: number[] = [];
    for (const { sequence, key } of waiting) {
      if (!keys.has(key) && !unreadable.includes(sequence)) continue;
      keys.add(key);
      parked.push(sequence);
    }
    if (parked.length === 0) return;
    await tx.updateTable("downlink").set({ parked_at: now }).where("site", "=", site).where("sequence", "in", parked).execute();
  });
}
interface Waiting {
  readonly sequence: number;
  readonly key: number;
}

/**
 * Gives new numbers, in their old order, to what was parked for batches that can be read again, with all that was routed behind it under
 * the same keys.
 * @returns the sites that have something to fetch
 */
export async function releaseParked(storage: Storage): Promise<ReadonlySet<string>> {
  const free = Map.groupBy(await freeKeys(storage), ({ site }) => site);
  for (const site of [...free.keys()].sort()) await storage.transaction().execute((tx) => release(tx, site));
  return new Set(free.keys());
}

async function release(tx: StorageTransaction, site: string): Promise<void> {
  await lockSite(tx, site);
  const free = await freeKeys(tx, site);
  if (free.length === 0) return;
  const rows = await tx
    .selectFrom("downlink")
    .select("sequence")
    .where("site", "=", site)
    .where("sequence", ">=", Math.min(...free.map(({ first }) => first)))
    .where((eb) => eb.or(free.map(({ key, first }) => eb.and([eb("key", "=", key), eb("sequence", ">=", first)]))))
    .orderBy("position")
    .execute();
  const { downlink_last: last } = await tx
    .updateTable("sites")
    .set((eb) => ({ downlink_last: eb("downlink_last", "+", rows.length) }))
    .where("name", "=", site)
    .returning("downlink_last")
    .executeTakeFirstOrThrow();
  for (const [index, { sequence }] of rows.entries()) {
    await tx
      .updateTable("downlink")
      .set({ sequence: last - rows.length + 1 + index, parked_at: null })
      .where("site", "=", site)
      .where("sequence", "=", sequence)
      .execute();
  }
}

/** Keys of which no parked message lies in a damaged batch, with the number of the first one. */
async function freeKeys(
  db: Storage | StorageTransaction,
  site?: string,
): Promise<{ site: string; key: number; first: number }[]> {
  return db
    .selectFrom("downlink")
    .leftJoin("slices", "slices.position", "downlink.slice")
    .leftJoin("damaged", (join) =>
      join
        .onRef("damaged.site", "=", "slices.site")
        .onRef("damaged.lane", "=", "slices.lane")
        .onRef("damaged.batch", "=", "slices.batch"),
    )
    .select(["downlink.site", "downlink.key"])
    .select((eb) => eb.fn.min("downlink.sequence").as("first"))
    .where("downlink.parked_at", "is not", null)
    .$if(site !== undefined, (query) => query.where("downlink.site", "=", site ?? ""))
    .groupBy(["downlink.site", "downlink.key"])
    .having(sql<boolean>`count(damaged.batch) = 0`)
    .limit(keysAtOnce)
    .execute();
}
const keysAtOnce = 200;

/** Parking, releasing and numbering of one site take turns. */
export async function lockSite(tx: StorageTransaction, site: string): Promise<void> {
  await tx
    .updateTable("sites")
    .set((eb) => ({ downlink_last: eb("downlink_last", "+", 0) }))
    .where("name", "=", site)
    .execute();
}
