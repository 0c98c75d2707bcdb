import { sql } from "kysely";
import type { HoleReason, Lane } from "../../protocol/index.ts";
import { holeWords } from "../alert/alarms.ts";
import type { CompletenessAnswer, LaneCompleteness } from "../http/views.ts";
import { describeLoss, lossOf } from "../site/ended-epochs.ts";
import { inSnapshot, type Storage, type StorageTransaction } from "../storage/storage.ts";

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
    return inSnapshot(this.#storage, (tx) => count(tx, site));
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
    .select(["said_last", "said_at", "ended_at", "messages", "repeats", "quarantined"])
    .where("epochs.site", "=", site)
    .orderBy("epochs.lane")
    .orderBy("started_at")
    .execute();
  const waitingIn = await waitingOf(tx, site);
  const lanes: LaneCompleteness[] = [];
  for (const row of epochs) {
    const { lane, epoch, first_sequence: first, watermark: last, predecessor_epoch, predecessor_last } = row;
    const { holes, lost } = await holesOf(tx, site, lane, epoch);
    const recorded = last - first + 1 - lost;
    // of what lies before the first listed hole, nobody is told which part is recorded: holes that are not listed lie there
    const listed = holes.reduce((sum, hole) => sum + hole.last - hole.first + 1, 0);
    const listedFrom = listed < lost ? (holes[0]?.first ?? last + 1) : first;
    const waiting = waitingIn.get(`${lane}/${epoch}`) ?? 0;
    const [messages, repeats, quarantined] = [row.messages ?? 0, row.repeats ?? 0, row.quarantined ?? 0];
    const missing = recorded - messages - repeats - quarantined - waiting;
    lanes.push({
      lane,
      epoch,
      predecessor: predecessor_epoch === null ? null : { epoch: predecessor_epoch, lastSequence: predecessor_last ?? 0 },
      listedFrom,
      ranges: recordedRanges({ first: listedFrom, last }, holes),
      gaps: holes.map((hole) => ({ first: hole.first, last: hole.last })),
      holes,
      recorded,
      lost,
      messages,
      repeats,
      quarantined,
      waitingForProjection: waiting,
      missing,
      loss: row.ended_at === null ? null : lossOf({ ...row, ended_at: row.ended_at }),
      summary: [summarize({ first, last }, holes, lost, missing), ...(row.ended_at === null ? [] : [describeLoss(row)])].join(
        "; ",
      ),
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

/** Messages of batches behind the projector's cursor, and of those that cannot be read, by lane and epoch. */
async function waitingOf(tx: StorageTransaction, site: string): Promise<ReadonlyMap<string, number>> {
  const waiting = new Map<string, number>();
  const add = (lane: Lane, rows: readonly { readonly epoch: string; readonly waiting: number }[]): void => {
    for (const row of rows) waiting.set(`${lane}/${row.epoch}`, (waiting.get(`${lane}/${row.epoch}`) ?? 0) + row.waiting);
  };
  const places = await tx.selectFrom("projections").select(["lane", "batch", "done"]).where("site", "=", site).execute();
  for (const { lane, batch, done } of places) {
    const left = sql<number>`sum(count - CASE WHEN number = ${batch} THEN ${done} ELSE 0 END)`.as("waiting");
    const behind = tx.selectFrom("batches").select(["epoch", left]).where("site", "=", site).where("lane", "=", lane);
    add(lane, await behind.where("number", ">=", batch).groupBy("epoch").execute());
  }
  const damaged = await tx
    .selectFrom("damaged")
    .innerJoin("batches", (join) =>
      join
        .onRef("batches.site", "=", "damaged.site")
        .onRef("batches.lane", "=", "damaged.lane")
        .onRef("batches.number", "=", "damaged.batch"),
    )
    .select(["damaged.lane", "batches.epoch", sql<number>`batches.count - damaged.done`.as("waiting")])
    .where("damaged.site", "=", site)
    .execute();
  for (const row of damaged) add(row.lane, [row]);
  return waiting;
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
