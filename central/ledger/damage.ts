import { type Clock, PlantgateError } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { isOutage, isStorageDamage, type Storage, type StorageTransaction } from "../storage/storage.ts";
import { judgeContent, parseEntries } from "./batch.ts";
import type { Frames } from "./frames.ts";
import { walkChain } from "./overlap.ts";
import { type BatchRow, wholeStep } from "./plan.ts";
import { chainBytes, recordedEntries } from "./recorded-chains.ts";
import type { Turn } from "./turns.ts";

/** What was recorded was whole when it came: where it cannot be read any more, our disk has damaged it. */
export interface BatchPlace extends Turn {
  readonly batch: number;
}
export interface DamageDeps {
  readonly storage: Storage;
  readonly frames: Pick<Frames, "forget">;
  readonly alarms: Alarms;
  readonly clock: Clock;
}

/** How often a damaged batch is looked at. */
const lookEveryMs = 10_000;
/** One that took the process down in so many looks is left for long. */
const maxLooks = 3;
const leftForMs = 3_600_000;

/** Reads what was recorded, and notes each batch of which that fails, so that people are told and the projector looks after it. */
export class Damage {
  readonly #deps: DamageDeps;
  readonly #notedAt = new Map<string, number>();

  constructor(deps: DamageDeps) {
    this.#deps = deps;
  }

  /** What was read; undefined where the batch is damaged. @throws what else the reading fails with */
  async read<Value>(place: BatchPlace, read: () => Promise<Value>): Promise<{ readonly value: Value } | undefined> {
    try {
      return { value: await read() };
    } catch (error) {
      if (isOutage(error) || !isDamage(error)) throw error;
      this.#deps.frames.forget(place);
      await this.#note(place);
      return undefined;
    }
  }

  /** One that is read by many is noted now and then. */
  async #note({ site, lane, batch }: BatchPlace): Promise<void> {
    const { storage, alarms, clock } = this.#deps;
    const key = `${site}/${lane}/${batch}`;
    const now = clock.monotonic();
    if (now - (this.#notedAt.get(key) ?? Number.NEGATIVE_INFINITY) < lookEveryMs) return;
    if (this.#notedAt.size > 1000) this.#notedAt.clear();
    this.#notedAt.set(key, now);
    const raised = await storage.transaction().execute(async (tx) => {
      const alarm = await noteProjected(tx, { site, lane, batch });
      return alarm ? alarms.raise(tx, [alarm]) : [];
    });
    alarms.log(raised);
  }
}

/** Whether an error says that what was recorded is damaged. */
export function isDamage(error: unknown): boolean {
  return error instanceof PlantgateError && error.code === "FRAME_CORRUPT";
}

/** Notes a batch that is projected whole; one that is not, the projector sets aside itself. @returns the alarm, unless it is noted already */
async function noteProjected(tx: StorageTransaction, { site, lane, batch }: BatchPlace): Promise<Alarm | undefined> {
  const ofLane = tx.selectFrom("projections").select("batch").where("site", "=", site).where("lane", "=", lane);
  const next = (await ofLane.executeTakeFirst())?.batch ?? 0;
  if (batch >= next) return undefined;
  const row = await tx
    .selectFrom("batches")
    .select(["count", "first_sequence", "frames"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("number", "=", batch)
    .executeTakeFirst();
  const done = row?.count ?? (await projectedOf(tx, { site, lane, batch }));
  const inserted = await tx
    .insertInto("damaged")
    .values({ site, lane, batch, ...unlooked, done, size: wholeStep(lane) })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows === 0n) return undefined;
  const entries = row && parseEntries(row.frames);
  const range = row && entries && messagesBehind({ first: row.first_sequence, entries }, 0);
  const what = range
    ? `${words(range)} of lane ${lane}`
    : `messages of lane ${lane}, of which even the place is not found or damaged,`;
  const reason = `${what} are projected, but cannot be read from central's disk any more; what of them was not handed on yet waits until it is repaired`;
  return { ...damageOf({ site, lane, batch }), count: done, reason, ...(range ? { range } : {}) };
}

/** Messages that the ledger has of a batch. */
async function projectedOf(tx: StorageTransaction, { site, lane, batch }: BatchPlace): Promise<number> {
  const { count } = await tx
    .selectFrom("slices")
    .select((eb) => eb.fn.sum<number | null>("count").as("count"))
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("batch", "=", batch)
    .executeTakeFirstOrThrow();
  return Number(count ?? 0);
}

/** A row of `damaged` that nobody has worked on. */
export const unlooked = { attempts: 0, noted_by: "", noted_at: 0, looks: 0, looked_at: 0 } as const;

/**
 * The damaged batch that was not looked at for the longest, once its time has come. That it is looked at is noted, durably, before it is:
 * a batch whose reading takes the process down is left for long after some looks.
 */
export async function beginLook(db: Storage, now: number): Promise<BatchPlace | undefined> {
  const found = await db
    .selectFrom("damaged")
    .select(["site", "lane", "batch", "looks", "looked_at"])
    .where((eb) =>
      eb.or([
        eb.and([eb("looked_at", "<=", now - lookEveryMs), eb("looks", "<", maxLooks)]),
        eb("looked_at", "<=", now - leftForMs),
        // the clock was set back
        eb("looked_at", ">", now),
      ]),
    )
    .orderBy("looked_at")
    .limit(1)
    .executeTakeFirst();
  if (!found) return undefined;
  const { site, lane, batch, looks, looked_at } = found;
  const begun = await db
    .updateTable("damaged")
    .set({ looks: looks + 1, looked_at: now })
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("batch", "=", batch)
    .where("looks", "=", looks)
    .where("looked_at", "=", looked_at)
    .executeTakeFirst();
  // another replica was faster
  return begun.numUpdatedRows === 0n ? undefined : { site, lane, batch };
}

/** Looks through all of a batch, and notes that the process outlived it. @returns whether it is whole again */
export async function look(db: Storage, { site, lane, batch }: BatchPlace): Promise<boolean> {
  const whole = await isWhole(db, { site, lane, batch }).catch((error: unknown) => {
    if (isOutage(error) && !isStorageDamage(error)) throw error;
    return false;
  });
  await db
    .updateTable("damaged")
    .set({ looks: 0 })
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("batch", "=", batch)
    .execute();
  return whole;
}

/** Whether a batch is what was recorded: by its chain, and by what its frames hold. */
async function isWhole(db: Storage, { site, lane, batch }: BatchPlace): Promise<boolean> {
  const row = await db
    .selectFrom("batches")
    .select(["first_sequence", "frames", "chain_before", "chains", "body"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("number", "=", batch)
    .executeTakeFirst();
  if (!row) return false;
  const entries = recordedEntries(row.frames);
  const chains: string[] = [];
  walkChain({ first: row.first_sequence, chainBefore: row.chain_before, entries, body: row.body }, (_, chain) =>
    chains.push(chain),
  );
  const recorded = Buffer.from(row.chains);
  if (recorded.byteLength !== entries.length * chainBytes || recorded.toString("hex") !== chains.join("")) return false;
  return judgeContent({ entries }, row.body).kind === "whole";
}

/** What names the alarm of one damaged batch. */
export function damageOf({ site, lane, batch }: BatchPlace) {
  return { site, lane, kind: "ledger-damaged" as const, target: `batch ${batch}` };
}

/** The alarm of a batch that is set aside after `done` of its messages were projected. */
export function damageAlarm(batch: BatchRow, done: number): Alarm {
  const { site, lane, number, count } = batch;
  const range = messagesBehind(batch, done);
  const reason = `${words(range)} of lane ${lane} cannot be read from central's disk; once it is repaired they are projected`;
  return { ...damageOf({ site, lane, batch: number }), count: count - done, range, reason };
}

/** The alarm of a batch that is not projected, and of which the row is not found or makes no sense. */
export function missingAlarm({ site, lane, batch }: BatchPlace): Alarm {
  const reason = `a batch of lane ${lane} is not found, or not whole, on central's disk: once it is, its messages are projected`;
  return { ...damageOf({ site, lane, batch }), count: 1, reason };
}

/** From the first message behind the first `done` of a batch to its last one; holes before and behind them are no part of it. */
function messagesBehind({ first, entries }: Pick<BatchRow, "first" | "entries">, done: number): { first: number; last: number } {
  const range = { first: 0, last: 0 };
  let [sequence, skip] = [first, done];
  for (const { kind, count } of entries) {
    if (kind === "frame" && skip < count) {
      if (range.first === 0) range.first = sequence + skip;
      range.last = sequence + count - 1;
    }
    if (kind === "frame") skip = Math.max(0, skip - count);
    sequence += count;
  }
  return range;
}

function words({ first, last }: { readonly first: number; readonly last: number }): string {
  return `${first.toLocaleString("en-US")} to ${last.toLocaleString("en-US")}`;
}
