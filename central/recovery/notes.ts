import type { Insertable } from "kysely";
import type { Hello, HelloAnswer, Lane, StatusReport } from "../../protocol/index.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import type { RecoveryTables } from "../storage/tables/recovery.ts";

/** What becomes known of what a restored ledger lost, noted where it is said: by adoption, hellos and reports. */

export interface RecoveryBegun {
  readonly incarnation: string;
  readonly before: string;
  readonly at: number;
  /** When the backup was taken, UTC, where `plantgate restore` left word of it. */
  readonly backupAt: string | null;
  /** The audit log's length in the backup, where `plantgate restore` left word of it: its own entry is not of what was restored. */
  readonly auditEntries: number | undefined;
}

/** In the transaction that names the ledger anew. */
export async function beginRecovery(tx: StorageTransaction, begun: RecoveryBegun): Promise<void> {
  const { incarnation, before, at, backupAt, auditEntries = Number.MAX_SAFE_INTEGER } = begun;
  await tx.deleteFrom("recovery_lanes").execute();
  await tx.deleteFrom("recovery_sites").execute();
  const last = await tx
    .selectFrom("recoveries")
    .select((eb) => eb.fn.max("number").as("number"))
    .executeTakeFirst();
  const entry = await tx
    .selectFrom("audit")
    .select(["number", "entry"])
    .where("number", "<=", auditEntries)
    .orderBy("number", "desc")
    .limit(1)
    .executeTakeFirst();
  await tx
    .insertInto("recoveries")
    .values({
      number: Number(last?.number ?? 0) + 1,
      incarnation,
      before,
      began_at: at,
      backup_at: backupAt,
      audit_entries: entry?.number ?? 0,
      audit_at: entry ? atOf(entry.entry) : null,
    })
    .execute();
}

export interface LeftEpoch {
  readonly lane: Lane;
  readonly epoch: string;
  readonly watermark: number;
}

/**
 * In the transaction of a hello, behind the watermarks that it is answered: the first one since a restore tells how far the gateway had got with the
 * ledger before. Nothing of a lane is recorded before its hello, so the watermarks are those of the backup.
 * @param begun epochs that the ledger did not know before this hello
 * @param now when it also noted the ends of epochs that this hello goes on without
 * @returns those whose end it did not note: their gateway went on with an epoch that is not known here, and with another one then
 */
export async function noteHello(
  tx: StorageTransaction,
  site: string,
  hello: Hello,
  { watermarks, begun }: { readonly watermarks: HelloAnswer["watermarks"]; readonly begun: ReadonlySet<string> },
  now: number,
): Promise<LeftEpoch[]> {
  const recovery = await tx.selectFrom("recoveries").select("number").limit(1).executeTakeFirst();
  if (!recovery) return [];
  await noteNamed(tx, site, hello);
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto("recovery_sites")
    .values({ site, heard_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (!numInsertedOrUpdatedRows) return [];
  const unended: LeftEpoch[] = [];
  for (const { lane, epoch, acknowledged = null, predecessor } of hello.epochs) {
    const watermark = watermarks.find((each) => each.lane === lane && each.epoch === epoch)?.watermark ?? 0;
    const named = hello.epochs.filter((each) => each.lane === lane).map((each) => each.epoch);
    const before = predecessor && (await watermarkOf(tx, site, lane, predecessor.epoch));
    // of an epoch that began and ended after the backup nothing is here: all up to its end, at most. One that went before an epoch of the backup was
    // over by then, and may have been tidied away
    const had = before ?? (begun.has(epoch) ? 0 : undefined);
    // what is named is sent again, also where its gateway has gone on from it
    const isComing = predecessor && named.includes(predecessor.epoch);
    const not_coming = predecessor && had !== undefined && !isComing ? Math.max(0, predecessor.lastSequence - had) : 0;
    await noteLane(tx, { site, lane, epoch, watermark, acknowledged, not_coming, named: 1 });
    const left = before === undefined ? await leftBehind(tx, site, lane, named) : undefined;
    const isLeft = left && (predecessor ? not_coming > 0 && left.ended_at === null : left.ended_at === now);
    if (isLeft) {
      const { epoch: lost, watermark: had } = left;
      await noteLane(tx, { ...{ site, lane }, epoch: lost, watermark: had, acknowledged: null, not_coming: 0, named: 0 });
      if (left.ended_at === null) unended.push({ lane, epoch: left.epoch, watermark: left.watermark });
    }
  }
  return unended;
}

async function noteLane(tx: StorageTransaction, lane: Insertable<RecoveryTables["recovery_lanes"]>): Promise<void> {
  await tx
    .insertInto("recovery_lanes")
    .values(lane)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Which of the noted epochs its gateway still knows, by each hello since. */
async function noteNamed(tx: StorageTransaction, site: string, { epochs }: Hello): Promise<void> {
  const noted = await tx.selectFrom("recovery_lanes").select(["lane", "epoch", "named"]).where("site", "=", site).execute();
  for (const { lane, epoch, named } of noted) {
    const is = epochs.some((each) => each.lane === lane && each.epoch === epoch) ? 1 : 0;
    if (is === named) continue;
    await tx
      .updateTable("recovery_lanes")
      .set({ named: is })
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("epoch", "=", epoch)
      .execute();
  }
}

/** The newest epoch of the ledger besides those that a hello names: what its gateway sent of it since the backup is not here. */
function leftBehind(tx: StorageTransaction, site: string, lane: Lane, named: readonly string[]) {
  return tx
    .selectFrom("epochs")
    .select(["epoch", "watermark", "ended_at"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "not in", named)
    .orderBy("started_at", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** In the transaction of a report: what a gateway that is older than this part of hello says of its lanes. */
export async function noteReport(tx: StorageTransaction, site: string, { lanes }: StatusReport): Promise<void> {
  const open = await tx
    .selectFrom("recovery_lanes")
    .select(["lane", "epoch"])
    .where("site", "=", site)
    .where("acknowledged", "is", null)
    .execute();
  for (const { lane, epoch } of open) {
    const told = lanes.find((each) => each.lane === lane && each.epoch === epoch);
    if (!told) continue;
    await tx
      .updateTable("recovery_lanes")
      .set({ acknowledged: told.acknowledged })
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("epoch", "=", epoch)
      .execute();
  }
}

async function watermarkOf(tx: StorageTransaction, site: string, lane: Lane, epoch: string) {
  const row = await tx
    .selectFrom("epochs")
    .select("watermark")
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "=", epoch)
    .executeTakeFirst();
  return row?.watermark;
}

function atOf(entry: string): string | null {
  try {
    const { at } = JSON.parse(entry) as { at?: unknown };
    return typeof at === "string" ? at : null;
  } catch {
    return null;
  }
}
