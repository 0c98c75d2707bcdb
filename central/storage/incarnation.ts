import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { parseJson } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { beginRecovery } from "../recovery/notes.ts";
import { isPostgres } from "./dialect.ts";
import { serverIdentity } from "./gate.ts";
import { lookAt, type Seen } from "./seen.ts";
import type { Storage, StorageTransaction } from "./storage.ts";

/**
 * Positions that a ledger leaves out when it becomes another one: more than it can have lost. Whoever had read on to a lost one gets all that
 * comes from then on behind it.
 */
const leftOut = 1e10;

/** What a data folder knows of its ledger. */
export interface Knowledge {
  /** Names the folder's own ledger file: whoever restores a backup of it takes the name away. */
  readonly place: string;
  readonly seen: Seen | undefined;
}

/**
 * Names the ledger's incarnation, which lies in it, and says how far it is. Where the ledger is another one than the one that bore the name, it was restored, or a
 * server took over that may have lost the end: numbers that were given out after the backup would come again for something else. So it gets
 * another name, which tells gateways to send again; each site has to say hello, its downlink gets a new epoch, and its positions go on far
 * behind all that were given out.
 * It is another one where another server, timeline or database is behind it (on SQLite, where the folder names another place), or where
 * it holds less than this data folder has seen.
 */
export async function adoptIncarnation(storage: Storage, known: Knowledge, alarms: Alarms, at: number): Promise<Seen> {
  const adopted = await storage.transaction().execute(async (tx) => {
    // replicas that start together take turns
    await tx
      .updateTable("counters")
      .set((eb) => ({ value: eb("value", "+", 0) }))
      .where("name", "=", "configuration")
      .execute();
    const now = await lookAt(tx);
    const place = isPostgres(tx) ? await serverOf(tx) : known.place;
    const moved = (await readMeta(tx, "seen")) !== place;
    if (now && !moved && !(await isPutBack(tx, now, known.seen))) return { seen: now, alarms: [] };
    const incarnation = randomUUID();
    await writeMeta(tx, "incarnation", incarnation);
    await writeMeta(tx, "seen", place);
    const reached = Math.max(now?.positions ?? 0, known.seen?.positions ?? 0);
    const seen = { incarnation, positions: now || known.seen ? reached + leftOut : 0 };
    await tx.updateTable("counters").set({ value: seen.positions }).where("name", "=", "ledger").execute();
    if (!now) return { seen, alarms: [] };
    for (const before of new Set([now.incarnation, known.seen?.incarnation ?? now.incarnation]))
      await writeMeta(tx, `incarnation:${before}`, incarnation);
    await tx.updateTable("sites").set({ session: null }).execute();
    for (const { name } of await tx.selectFrom("sites").select("name").orderBy("name").execute()) await renameDownlink(tx, name);
    const source = sourceOf(await readMeta(tx, restoredFrom));
    await tx.deleteFrom("meta").where("name", "=", restoredFrom).execute();
    await beginRecovery(tx, { incarnation, before: now.incarnation, at, ...source });
    const reason = `the ledger was restored, or another server has taken over: it is ${incarnation} now, ${now.incarnation} before; gateways send again what it lost`;
    const alarm: Alarm = { site: "", kind: "ledger-restored", target: incarnation, count: 1, reason };
    return { seen, alarms: await alarms.raise(tx, [alarm]) };
  });
  alarms.log(adopted.alarms);
  return adopted.seen;
}

/** Beside a ledger that `plantgate restore` filled, until it is adopted: which backup that was. */
export const restoredFrom = "restored-from";

function sourceOf(note: string | undefined): { backupAt: string | null; auditEntries: number | undefined } {
  if (note === undefined) return { backupAt: null, auditEntries: undefined };
  const { takenAt, auditEntries } = parseJson(note) as { takenAt: string; auditEntries: number };
  return { backupAt: takenAt, auditEntries };
}

/** Whether a ledger holds less than was seen of it. Incarnations that it had before are noted in it: another replica noticed first. */
async function isPutBack(tx: StorageTransaction, now: Seen, seen: Seen | undefined): Promise<boolean> {
  if (!seen) return false;
  if (seen.incarnation === now.incarnation) return now.positions < seen.positions;
  return (await readMeta(tx, `incarnation:${seen.incarnation}`)) === undefined;
}

async function serverOf(tx: StorageTransaction): Promise<string> {
  const { rows } = await sql.raw<{ server: string }>(serverIdentity).execute(tx);
  return rows[0]?.server ?? "";
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
