import { sql } from "kysely";
import { isPostgres, lockingFree } from "../storage/dialect.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { parseEntries } from "./batch.ts";
import { unlooked } from "./damage.ts";
import { type BatchRow, wholeStep } from "./plan.ts";
import type { Turn } from "./turns.ts";

/** A lane, or one batch of it that was damaged. */
export type Which = Turn & { readonly damagedBatch?: number };

/** Where projection stands, as its row says it; see {@link Schema}. */
export interface CursorState {
  readonly batch: number;
  readonly done: number;
  readonly size: number;
  readonly attempts: number;
  readonly noted_by: string;
  readonly noted_at: number;
}
/** A row that is locked: of `projections`, or that of one damaged batch. */
export interface Cursor extends Turn, CursorState {
  readonly kind: "lane" | "damaged";
  /** Whether other replicas may be at it too. */
  readonly shared: boolean;
  /** By the one clock that all replicas see. */
  readonly now: number;
  /** The number of the lane's last batch. */
  readonly recorded: number;
}

const lastPosition = sql<number>`(SELECT value FROM counters WHERE name = 'ledger')`;

/** Batches that one step looks at. */
const batchesAhead = 64;

/**
 * Reads and locks a lane's cursor; undefined while another replica has it, or where there is none. A damaged batch's is locked behind its
 * lane's, whose count it moves as well: all steps lock in one order.
 */
export async function claimCursor(tx: StorageTransaction, which: Which): Promise<Cursor | undefined> {
  const { kind, lane, batch } = cursorQueries(tx, which);
  const ofLane = await lockingFree(tx, lane).executeTakeFirst();
  const row = ofLane && kind === "damaged" ? await lockingFree(tx, batch).executeTakeFirst() : ofLane;
  return row && { kind, site: which.site, lane: which.lane, shared: isPostgres(tx), ...row };
}

/** A cursor as it stands, whoever has it. */
export async function readCursor(tx: StorageTransaction, which: Which): Promise<Cursor | undefined> {
  const { kind, lane, batch } = cursorQueries(tx, which);
  const row = await (kind === "damaged" ? batch : lane).executeTakeFirst();
  return row && { kind, site: which.site, lane: which.lane, shared: isPostgres(tx), ...row };
}

function cursorQueries(tx: StorageTransaction, { site, lane, damagedBatch }: Which) {
  const now = isPostgres(tx) ? sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint` : sql<number>`${Date.now()}`;
  const recorded = sql<number>`(SELECT lanes.batches FROM lanes WHERE lanes.site = ${site} AND lanes.lane = ${lane})`;
  const columns = ["batch", "done", "size", "attempts", "noted_by", "noted_at"] as const;
  const extra = [now.as("now"), recorded.as("recorded")] as const;
  const ofLane = tx.selectFrom("projections").select(columns).select(extra).where("site", "=", site).where("lane", "=", lane);
  const ofBatch = tx.selectFrom("damaged").select(columns).select(extra).where("site", "=", site).where("lane", "=", lane);
  return {
    kind: damagedBatch === undefined ? ("lane" as const) : ("damaged" as const),
    lane: ofLane,
    batch: ofBatch.where("batch", "=", damagedBatch ?? 0),
  };
}

/** Moves a cursor, or what it says of attempts. A damaged batch's cursor goes away once it has passed its batch. */
export async function writeCursor(tx: StorageTransaction, cursor: Cursor, state: CursorState, projected = 0): Promise<void> {
  const { site, lane, kind } = cursor;
  if (kind === "lane" || projected > 0) {
    await tx
      .updateTable("projections")
      .set((eb) => ({ ...(kind === "lane" ? state : {}), projected: eb("projected", "+", projected) }))
      .where("site", "=", site)
      .where("lane", "=", lane)
      .execute();
  }
  if (kind === "lane") return;
  const { batch } = cursor;
  if (state.batch > batch) {
    await tx.deleteFrom("damaged").where("site", "=", site).where("lane", "=", lane).where("batch", "=", batch).execute();
  } else {
    await tx
      .updateTable("damaged")
      .set(state)
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("batch", "=", batch)
      .execute();
  }
}

/**
 * Sets a batch aside that cannot be read, with what of it is not projected, and moves on to the state given. It was judged when it came, so
 * this is damage on our disk: it stays there, counted as waiting, so that it holds nobody back and a repaired disk brings its messages.
 */
export async function setAside(tx: StorageTransaction, cursor: Cursor, next: CursorState): Promise<void> {
  const { site, lane, batch, done } = cursor;
  await tx
    .insertInto("damaged")
    .values({ site, lane, batch, ...unlooked, done, size: wholeStep(lane), position: lastPosition })
    .execute();
  await writeCursor(tx, cursor, next);
}

/** The batches from a cursor's on, without their bodies, as far as none is missing or unreadable. A damaged batch stands alone. */
export async function batchesFrom(
  tx: Storage | StorageTransaction,
  cursor: Pick<Cursor, "kind" | "site" | "lane" | "batch">,
): Promise<BatchRow[]> {
  const rows = await tx
    .selectFrom("batches")
    .select(["number", "epoch", "first_sequence", "count", "frames", "inflated_bytes", "received_at", "age_ms"])
    .where("site", "=", cursor.site)
    .where("lane", "=", cursor.lane)
    .where("number", cursor.kind === "lane" ? ">=" : "=", cursor.batch)
    .orderBy("number")
    .limit(batchesAhead)
    .execute();
  const batches: BatchRow[] = [];
  for (const row of rows) {
    const entries = parseEntries(row.frames);
    if (row.number !== cursor.batch + batches.length || !entries) break;
    batches.push({
      site: cursor.site,
      lane: cursor.lane,
      number: row.number,
      epoch: row.epoch,
      first: row.first_sequence,
      count: row.count,
      entries,
      inflatedBytes: row.inflated_bytes,
      receivedAt: row.received_at,
      ageMs: row.age_ms,
    });
  }
  return batches;
}

/** Lanes that have something to project. */
export async function lanesBehind(db: Storage): Promise<Turn[]> {
  const rows = await db
    .selectFrom("projections")
    .innerJoin("lanes", (join) => join.onRef("lanes.site", "=", "projections.site").onRef("lanes.lane", "=", "projections.lane"))
    .select(["lanes.site", "lanes.lane"])
    .where(sql<boolean>`projections.batch <= lanes.batches`)
    .orderBy("lanes.site")
    .execute();
  return rows;
}
