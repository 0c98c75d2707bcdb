import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { isPostgres } from "./dialect.ts";
import type { Storage, StorageTransaction } from "./storage.ts";

/**
 * Names the ledger's incarnation. Where it was another one, the ledger was restored: numbers of the downlinks that were given out after
 * the backup would come again for other messages, so each site's downlink gets a new epoch.
 * @param own on SQLite what the data folder says (whoever restores a backup deletes that file); on PostgreSQL it lies in the database,
 * and a restore or a failover is told from the cluster and its timeline.
 */
export async function adoptIncarnation(storage: Storage, own: string, alarms: Alarms): Promise<string> {
  const adopted = await storage.transaction().execute(async (tx) => {
    // replicas that start together take turns
    await tx
      .updateTable("counters")
      .set((eb) => ({ value: eb("value", "+", 0) }))
      .where("name", "=", "configuration")
      .execute();
    const before = await readMeta(tx, "incarnation");
    const [ledger, seen] = isPostgres(tx) ? await clusterOf(tx, before) : [own, own];
    if (before === ledger && (await readMeta(tx, "seen")) === seen) return { incarnation: ledger, alarms: [] };
    await writeMeta(tx, "incarnation", ledger);
    await writeMeta(tx, "seen", seen);
    if (before === undefined || before === ledger) return { incarnation: ledger, alarms: [] };
    for (const { name } of await tx.selectFrom("sites").select("name").orderBy("name").execute()) await renameDownlink(tx, name);
    const reason = `the ledger was restored, or another server has taken over: it is ${ledger} now, ${before} before; gateways send again what it lost`;
    const alarm: Alarm = { site: "", kind: "ledger-restored", target: ledger, count: 1, reason };
    return { incarnation: ledger, alarms: await alarms.raise(tx, [alarm]) };
  });
  alarms.log(adopted.alarms);
  return adopted.incarnation;
}

/** The incarnation that fits the cluster: the one that is noted where cluster and timeline are the same as then, else a new one. */
async function clusterOf(tx: StorageTransaction, before: string | undefined): Promise<[ledger: string, seen: string]> {
  const { rows } = await sql<{ seen: string }>`
    SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS seen
  `.execute(tx);
  const seen = rows[0]?.seen ?? "";
  const same = before !== undefined && (await readMeta(tx, "seen")) === seen;
  return [same ? before : randomUUID(), seen];
}

/** A value that lies beside the ledger. */
export async function readMeta(db: Storage | StorageTransaction, name: string): Promise<string | undefined> {
  return (await db.selectFrom("meta").select("value").where("name", "=", name).executeTakeFirst())?.value;
}

export async function writeMeta(db: Storage | StorageTransaction, name: string, value: string): Promise<void> {
  await db
    .insertInto("meta")
    .values({ name, value })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ value }))
    .execute();
}

/** A new epoch for a site's downlink: its gateway takes what follows as new, beginning with what was never acknowledged. */
export async function renameDownlink(tx: StorageTransaction | Storage, site: string): Promise<void> {
  await tx.updateTable("sites").set({ downlink_epoch: randomUUID() }).where("name", "=", site).execute();
}
