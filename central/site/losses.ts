import { type Clock, type CloudEvent, toInstant } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import type { Audit } from "../audit/audit.ts";
import type { LossesAnswer, UnconfirmedAnswer, UnconfirmedMessage } from "../http/api/losses.ts";
import type { Damage } from "../ledger/damage.ts";
import type { Frames } from "../ledger/frames.ts";
import { Lines, parseLine, placeOf, type SliceRow, sliceColumns } from "../ledger/lines.ts";
import { lockSite } from "../router/parked.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { destinationsOf, nameOf } from "./destinations.ts";
import { lossOf } from "./ended-epochs.ts";

export interface LossesDeps {
  readonly storage: Storage;
  readonly frames: Frames;
  readonly damage: Damage;
  readonly alarms: Alarms;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** `order`: a later message of the same key is not among them. `unknown`: one of them was not handed to the gateway that was lost.
 * `reported`: the end of all its deliveries was reported. */
export type SendAgainOutcome =
  | { readonly kind: "sent"; readonly count: number }
  | { readonly kind: "order"; readonly sequences: readonly number[] }
  | { readonly kind: "unknown"; readonly sequences: readonly number[] }
  | { readonly kind: "reported"; readonly sequences: readonly number[] };

/** Handed-on messages that one page looks at. */
const pageRows = 500;
/** So many pages are looked at before it is told that a downlink was lost, and what lies behind them is told of as such. */
const toldPages = 10;
/** A delivery that ended so is over; every other outcome was left to a person, on the disk that is gone. */
const settled = new Set(["delivered", "accepted", "superseded", "refused", "expired", "discarded"]);
const listed = 100;

/** What was reported last of one delivery. */
type Report = UnconfirmedMessage["open"][number];

interface HandedOn extends SliceRow {
  readonly sequence: number;
  readonly at: number;
  readonly acked_at: number | null;
}

/**
 * What went with a gateway's disk, as far as central can tell: of each lane the numbers behind what is recorded, up to the last one that the
 * gateway spoke of; of the downlink what it had acknowledged, and reported no end of.
 */
export class Losses {
  readonly #deps: LossesDeps;

  constructor(deps: LossesDeps) {
    this.#deps = deps;
  }

  async of(site: string): Promise<LossesAnswer> {
    const { storage } = this.#deps;
    const rows = await storage
      .selectFrom("epochs")
      .select(["lane", "epoch", "watermark", "said_last", "said_at", "ended_at"])
      .where("site", "=", site)
      .where("ended_at", "is not", null)
      .orderBy("ended_at", "desc")
      .orderBy("lane")
      .limit(listed)
      .execute();
    const lost = await lostDownlink(storage, site);
    return {
      site,
      lanes: rows.map((row) => ({ lane: row.lane, epoch: row.epoch, ...lossOf({ ...row, ended_at: row.ended_at ?? 0 }) })),
      downlink: lost ? { upTo: lost.up_to, at: toInstant(lost.at) } : null,
    };
  }

  /**
   * A gateway begins without knowing anything of the downlink, of which it had acknowledged some before: its disk is another one. Noted once,
   * in one transaction with the alarm that says how many deliveries of it are open: whatever ends this before, the next poll finds it again.
   */
  async downlinkBegins(site: string, acknowledged: number): Promise<void> {
    const { storage, alarms, clock } = this.#deps;
    const known = await storage
      .selectFrom("downlink_losses")
      .select("site")
      .where("site", "=", site)
      .where("up_to", "=", acknowledged)
      .executeTakeFirst();
    if (known) return;
    const { count, next } = await this.#countOpen(site, acknowledged);
    const raised = await storage.transaction().execute(async (tx) => {
      const { numInsertedOrUpdatedRows } = await tx
        .insertInto("downlink_losses")
        .values({ site, up_to: acknowledged, at: clock.now() })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      // another replica was first
      if (!numInsertedOrUpdatedRows) return [];
      if (count === 0 && next === null) return [];
      const number = (value: number): string => value.toLocaleString("en-US");
      const of =
        count === 0
          ? `all deliveries down to ${number(next ?? 0)} were reported, and what lies before is not looked at yet`
          : `of ${number(count)}${next === null ? "" : " or more"} no delivery, or not every one, was reported so far`;
      const reason = `its gateway begins anew, without the messages up to ${number(acknowledged)} of the downlink that it had acknowledged: ${of}`;
      return alarms.raise(tx, [{ site, kind: "downlink-lost", target: String(acknowledged), count, reason }]);
    });
    alarms.log(raised);
  }

  /** How many of the newest page that has any; `next`: older ones were not looked at. */
  async #countOpen(site: string, upTo: number): Promise<{ readonly count: number; readonly next: number | null }> {
    let before: number | null = upTo + 1;
    for (let pages = 0; pages < toldPages && before !== null; pages++) {
      const { messages, next }: Pick<UnconfirmedAnswer, "messages" | "next"> = await this.#page(site, before);
      if (messages.length > 0) return { count: messages.length, next };
      before = next;
    }
    return { count: 0, next: before };
  }

  /** What the lost gateway had acknowledged and no end of a delivery was reported of; the newest first. `before`: the last page's `next`. */
  async unconfirmed(site: string, { before }: { readonly before?: number | undefined }): Promise<UnconfirmedAnswer> {
    const lost = await lostDownlink(this.#deps.storage, site);
    if (!lost) return { site, messages: [], next: null };
    return { site, ...(await this.#page(site, Math.min(lost.up_to + 1, before ?? Number.MAX_SAFE_INTEGER))) };
  }

  async #page(site: string, before: number): Promise<Pick<UnconfirmedAnswer, "messages" | "next">> {
    const rows = await this.#handedOn(site).where("downlink.sequence", "<", before).limit(pageRows).execute();
    return { messages: await this.#open(site, rows), next: rows.length === pageRows ? (rows.at(-1)?.sequence ?? null) : null };
  }

  /** What a gateway acknowledged, the newest first. */
  #handedOn(site: string) {
    return this.#deps.storage
      .selectFrom("downlink")
      .innerJoin("slices", "slices.position", "downlink.slice")
      .select(sliceColumns)
      .select(["downlink.sequence", "downlink.position as at", "downlink.acked_at"])
      .where("downlink.site", "=", site)
      .where("downlink.acked_at", "is not", null)
      .where("downlink.parked_at", "is", null)
      .orderBy("downlink.sequence", "desc");
  }

  /** Of these, those of which not every delivery was reported to be over, as far as it can be told where they go. */
  async #open(site: string, rows: readonly HandedOn[]): Promise<UnconfirmedMessage[]> {
    const events = await this.#events(rows);
    const outcomes = await this.#outcomes(
      site,
      events.map(({ event }) => event?.id).filter((id) => id !== undefined),
    );
    const goesTo = await destinationsOf(this.#deps.storage, site);
    return events.flatMap(({ row, event }): UnconfirmedMessage[] => {
      const told = event ? [...(outcomes.get(event.id)?.values() ?? [])] : [];
      const [open, ended] = [told.filter((each) => !isOver(each)), told.filter(isOver)];
      const expected = event ? goesTo(event) : [];
      const reported = new Set(told.map(nameOf));
      const unreported = expected.filter((each) => !reported.has(nameOf(each)));
      if (open.length === 0 && expected.length > 0 && unreported.length === 0) return [];
      return [
        {
          sequence: row.sequence,
          from: row.site,
          acknowledgedAt: toInstant(row.acked_at ?? 0),
          message: event ? { id: event.id, type: event.type, key: event.partitionkey ?? null, time: event.time } : null,
          open,
          ended,
          unreported: expected.length === 0 ? null : unreported.map(({ connector, destination }) => ({ connector, destination })),
        },
      ];
    });
  }

  /**
   * Hands messages to the site again, under new numbers in their old order, marked as such: what a destination cannot take twice is checked there, or
   * shown to a person. Durable on return.
   */
  async sendAgain(
    site: string,
    {
      sequences,
      outOfOrder,
      actor,
    }: { readonly sequences: readonly number[]; readonly outOfOrder: boolean; readonly actor: string },
  ): Promise<SendAgainOutcome> {
    const rows = await this.#handedOn(site).where("downlink.sequence", "in", sequences).execute();
    const open = new Set((await this.#open(site, rows)).map(({ sequence }) => sequence));
    return this.#deps.storage.transaction().execute(async (tx): Promise<SendAgainOutcome> => {
      await lockSite(tx, site);
      const lost = await lostDownlink(tx, site);
      const chosen = await tx
        .selectFrom("downlink")
        .select(["sequence", "key"])
        .where("site", "=", site)
        .where("sequence", "in", sequences)
        .where("sequence", "<=", lost?.up_to ?? 0)
        .where("acked_at", "is not", null)
        .where("parked_at", "is", null)
        .orderBy("sequence")
        .execute();
      const known = new Set(chosen.map(({ sequence }) => sequence));
      const strange = sequences.filter((sequence) => !known.has(sequence));
      if (strange.length > 0) return { kind: "unknown", sequences: strange };
      const over = sequences.filter((sequence) => !open.has(sequence));
      if (over.length > 0) return { kind: "reported", sequences: over };
      if (!outOfOrder) {
        const overtaken = await overtakenOf(tx, site, chosen, known);
        if (overtaken.length > 0) return { kind: "order", sequences: overtaken };
      }
      const { downlink_last: last } = await tx
        .updateTable("sites")
        .set((eb) => ({ downlink_last: eb("downlink_last", "+", chosen.length) }))
        .where("name", "=", site)
        .returning("downlink_last")
        .executeTakeFirstOrThrow();
      for (const [index, { sequence }] of chosen.entries())
        await tx
          .updateTable("downlink")
          .set({ sequence: last - chosen.length + 1 + index })
          .where("site", "=", site)
          .where("sequence", "=", sequence)
          .execute();
      const detail = { sequences: [...known], ...(outOfOrder ? { outOfOrder } : {}) };
      await this.#deps.audit.append(tx, { actor, action: "downlink.sentAgain", subject: `site/${site}`, detail });
      return { kind: "sent", count: chosen.length };
    });
  }

  /** Of each message and connector what was reported last. */
  async #outcomes(site: string, ids: readonly string[]): Promise<Map<string, Map<string, Report>>> {
    const found = new Map<string, Map<string, Report>>();
    if (ids.length === 0) return found;
    const rows = await this.#deps.storage
      .selectFrom("deliveries")
      .innerJoin("slices", "slices.position", "deliveries.slice")
      .select(sliceColumns)
      .select(["deliveries.message_id", "deliveries.position as at"])
      .where("deliveries.message_id", "in", ids)
      .where("slices.site", "=", site)
      .orderBy("deliveries.position")
      .execute();
    for (const { row, event } of await this.#events(rows)) {
      if (!event) continue;
      const { connector = "", destination = "", outcome = "", completedAt: at = "" } = event.data as Record<string, string>;
      const of = found.get(row.message_id) ?? new Map<string, Report>();
      found.set(row.message_id, of);
      of.set(nameOf({ connector, destination }), { connector, destination, outcome, at });
    }
    return found;
  }

  /** What cannot be read from central's disk is there without its event. */
  async #events<Row extends SliceRow & { readonly at: number }>(
    rows: readonly Row[],
  ): Promise<{ row: Row; event: CloudEvent | undefined }[]> {
    const { storage, frames, damage } = this.#deps;
    const lines = new Lines(storage, frames);
    const found: { row: Row; event: CloudEvent | undefined }[] = [];
    for (const row of rows) {
      const read = await damage.read(placeOf(row), async () => parseLine(await lines.at(row, row.at)));
      found.push({ row, event: read?.value });
    }
    return found;
  }
}

function isOver({ outcome }: Report): boolean {
  return settled.has(outcome);
}

/** Of the chosen, those behind which a message of their key went, or waits, that is not among them. */
async function overtakenOf(
  tx: StorageTransaction,
  site: string,
  chosen: readonly { readonly sequence: number; readonly key: number }[],
  known: ReadonlySet<number>,
): Promise<number[]> {
  const overtaken: number[] = [];
  for (const [key, own] of Map.groupBy(chosen, (row) => row.key)) {
    const later = await tx
      .selectFrom("downlink")
      .select("sequence")
      .where("site", "=", site)
      .where("key", "=", key)
      .where("sequence", ">", own[0]?.sequence ?? 0)
      .execute();
    const last = Math.max(0, ...later.map(({ sequence }) => sequence).filter((sequence) => !known.has(sequence)));
    overtaken.push(...own.map(({ sequence }) => sequence).filter((sequence) => sequence < last));
  }
  return overtaken;
}

async function lostDownlink(
  db: Storage | StorageTransaction,
  site: string,
): Promise<{ readonly up_to: number; readonly at: number } | undefined> {
  return db
    .selectFrom("downlink_losses")
    .select(["up_to", "at"])
    .where("site", "=", site)
    .orderBy("up_to", "desc")
    .limit(1)
    .executeTakeFirst();
}
