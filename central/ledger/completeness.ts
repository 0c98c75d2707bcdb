import { sql } from "kysely";
import type { HoleReason, Lane } from "../../protocol/index.ts";
import { holeWords } from "../alert/alarms.ts";
import type { CompletenessAnswer, LaneCompleteness } from "../http/views.ts";
import { isPostgres } from "../storage/dialect.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

interface Range {
  readonly first: number;
  readonly last: number;
}
type Hole = LaneCompleteness["holes"][number];

/** Holes of an epoch that are listed one by one. */
const listedHoles = 1000;
/** Holes that a sentence names. */
const namedHoles = 3;

/** How complete each lane of a site is: what is recorded, what will never come and why, and what became of the recorded messages. */
export class Completeness {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * Three things are counted apart from each other and have to agree: what ingest recorded (watermark less holes), what the projector
   * made of messages, and the batches that still lie before it. `missing` is where they do not.
   */
  of(site: string): Promise<CompletenessAnswer> {
    const transaction = this.#storage.transaction();
    // one state of the database for all that is counted
    return (isPostgres(this.#storage) ? transaction.setIsolationLevel("repeatable read") : transaction).execute((tx) =>
      count(tx, site),
    );
  }
}

async function count(tx: StorageTransaction, site: string): Promise<CompletenessAnswer> {
  const epochs = await tx
    .selectFrom("epochs")
    .leftJoin("tallies", (join) =>
      join
        .onRef("tallies.site", "=", "epochs.site")
        .onRef("tallies.lane", "=", "epochs.lane")
        .onRef("tallies.epoch", "=", "epochs.epoch"),
    )
    .select(["epochs.lane", "epochs.epoch", "first_sequence", "watermark", "predecessor_epoch", "predecessor_last"])
    .select(["messages", "repeats", "quarantined"])
    .where("epochs.site", "=", site)
    .orderBy("epochs.lane")
    .orderBy("started_at")
    .execute();
  const lanes: LaneCompleteness[] = [];
  for (const row of epochs) {
    const { lane, epoch, first_sequence: first, watermark: last, predecessor_epoch, predecessor_last } = row;
    const { holes, lost } = await holesOf(tx, site, lane, epoch);
    const recorded = last - first + 1 - lost;
    const waiting = await waitingOf(tx, site, lane, epoch);
    const [messages, repeats, quarantined] = [row.messages ?? 0, row.repeats ?? 0, row.quarantined ?? 0];
    const missing = recorded - messages - repeats - quarantined - waiting;
    lanes.push({
      lane,
      epoch,
      predecessor: predecessor_epoch === null ? null : { epoch: predecessor_epoch, lastSequence: predecessor_last ?? 0 },
      ranges: recordedRanges({ first, last }, holes),
      gaps: holes.map((hole) => ({ first: hole.first, last: hole.last })),
      holes,
      recorded,
      lost,
      messages,
      repeats,
      quarantined,
      waitingForProjection: waiting,
      missing,
      summary: summarize({ first, last }, holes, lost, missing),
    });
  }
  return { site, lanes };
}

async function holesOf(
  tx: StorageTransaction,
  site: string,
  lane: Lane,
  epoch: string,
): Promise<{ holes: Hole[]; lost: number }> {
  const query = tx.selectFrom("holes").where("site", "=", site).where("lane", "=", lane).where("epoch", "=", epoch);
  const rows = await query
    .select(["first_sequence", "last_sequence", "reason"])
    .orderBy("last_sequence", "desc")
    .limit(listedHoles)
    .execute();
  const sum = await query.select(sql<number | null>`sum(last_sequence - first_sequence + 1)`.as("lost")).executeTakeFirst();
  const holes: Hole[] = [];
  for (const { first_sequence: first, last_sequence: last, reason } of rows.reverse()) {
    const before = holes.at(-1);
    if (before && before.last + 1 === first && before.reason === reason) holes[holes.length - 1] = { ...before, last };
    else holes.push({ first, last, reason });
  }
  return { holes, lost: sum?.lost ?? 0 };
}

/** Messages of batches behind the projector's cursor, and of those that cannot be read. */
async function waitingOf(tx: StorageTransaction, site: string, lane: Lane, epoch: string): Promise<number> {
  const { rows } = await sql<{ waiting: number | null }>`
    SELECT sum(batches.count - CASE WHEN batches.number = place.batch THEN place.done ELSE 0 END) AS waiting
    FROM batches
    JOIN (
      SELECT batch, done, 1 AS onwards FROM projections WHERE site = ${site} AND lane = ${lane}
      UNION ALL
      SELECT batch, done, 0 AS onwards FROM damaged WHERE site = ${site} AND lane = ${lane}
    ) AS place ON batches.number = place.batch OR (place.onwards = 1 AND batches.number > place.batch)
    WHERE batches.site = ${site} AND batches.lane = ${lane} AND batches.epoch = ${epoch}
  `.execute(tx);
  return rows[0]?.waiting ?? 0;
}

/** What lies between the holes. */
function recordedRanges({ first, last }: Range, holes: readonly Hole[]): Range[] {
  const ranges: Range[] = [];
  let from = first;
  for (const hole of holes) {
    if (hole.first > from) ranges.push({ first: from, last: hole.first - 1 });
    from = hole.last + 1;
  }
  if (from <= last) ranges.push({ first: from, last });
  return ranges;
}

/** "1 to 48,211 recorded; 3,001–3,400 discarded by budget (age); nothing missing". */
export function summarize(
  { first, last }: Range,
  holes: readonly { readonly first: number; readonly last: number; readonly reason: HoleReason }[],
  lost: number,
  missing: number,
): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  if (last < first) return "nothing recorded yet";
  const parts = [`${number(first)} to ${number(last)} recorded`];
  for (const hole of holes.slice(-namedHoles)) {
    const range = hole.first === hole.last ? number(hole.first) : `${number(hole.first)}–${number(hole.last)}`;
    parts.push(`${range} ${holeWords[hole.reason]}`);
  }
  const named = holes.slice(-namedHoles).reduce((sum, hole) => sum + hole.last - hole.first + 1, 0);
  if (lost > named) parts.push(`${number(lost - named)} more lost earlier`);
  parts.push(missing === 0 ? "nothing missing" : `${number(missing)} missing: central's own counts disagree`);
  return parts.join("; ");
}
