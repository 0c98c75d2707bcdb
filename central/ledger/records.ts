import { type CloudEvent, findMessageType, type Lane, paddedSequence, toInstant } from "../../protocol/index.ts";
import type { MessagesAnswer } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";

export interface MessagesQuery {
  readonly after: number;
  readonly limit: number;
  readonly site?: string | undefined;
  readonly lane?: Lane | undefined;
  readonly type?: string | undefined;
  readonly state?: "recorded" | "repeat" | undefined;
}

/** Reads of the ledger: messages in the order in which they were recorded, what was set aside, and how complete each lane is. */
export class Records {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  async messages(query: MessagesQuery): Promise<MessagesAnswer> {
    const { site, lane, state = "recorded" } = query;
    const type = query.type === undefined ? undefined : (findMessageType(query.type)?.type ?? query.type);
    const rows = await this.#storage
      .selectFrom("messages")
      .selectAll()
      .where("position", ">", query.after)
      .where("state", "=", state)
      .$if(site !== undefined, (q) => q.where("site", "=", site ?? ""))
      .$if(lane !== undefined, (q) => q.where("lane", "=", lane ?? "transaction"))
      .$if(type !== undefined, (q) => q.where("type", "=", type ?? ""))
      .orderBy("position")
      .limit(query.limit)
      .execute();
    const messages = rows.map((row) => ({
      position: row.position,
      site: row.site,
      lane: row.lane,
      epoch: row.epoch,
      sequence: row.sequence,
      recordedAt: toInstant(row.received_at),
      event: { ...(JSON.parse(row.event) as CloudEvent), sequence: paddedSequence(row.sequence) },
    }));
    return { messages, next: rows.length === query.limit ? (rows.at(-1)?.position ?? null) : null };
  }

  /** Messages that were set aside, newest first, with the line as it came. */
  async quarantine(limit: number): Promise<{ quarantine: readonly Record<string, unknown>[] }> {
    const rows = await this.#storage.selectFrom("quarantine").selectAll().orderBy("received_at", "desc").limit(limit).execute();
    return {
      quarantine: rows.map(({ received_at, conflicts_with, ...row }) => ({
        ...row,
        conflictsWith: conflicts_with,
        recordedAt: toInstant(received_at),
      })),
    };
  }

  /** Messages that nobody takes, by sender, type and target. */
  async exceptions(): Promise<{ exceptions: readonly Record<string, unknown>[] }> {
    const rows = await this.#storage.selectFrom("exceptions").selectAll().orderBy("last_at", "desc").limit(1000).execute();
    return {
      exceptions: rows.map(({ site, type, kind, target, reason, count, first_at, last_at, last_position }) => ({
        site,
        type,
        kind,
        target: target === "" ? null : target,
        reason,
        count,
        firstAt: toInstant(first_at),
        lastAt: toInstant(last_at),
        lastPosition: last_position,
      })),
    };
  }

  /**
   * What of each lane is recorded. A batch is taken only where the one before it is on disk, so a range has no holes; what each of its
   * messages became is counted from the ledger, not concluded.
   */
  async completeness(site: string): Promise<{ site: string; lanes: readonly Record<string, unknown>[] }> {
    const epochs = await this.#storage
      .selectFrom("epochs")
      .selectAll()
      .where("site", "=", site)
      .orderBy("lane")
      .orderBy("started_at")
      .execute();
    const lanes: Record<string, unknown>[] = [];
    for (const { lane, epoch, first_sequence: first, watermark, predecessor_epoch, predecessor_last } of epochs) {
      const counts = await this.#counts(site, lane, epoch);
      const recorded = watermark - first + 1;
      const waiting = await this.#waiting(site, lane, epoch);
      lanes.push({
        lane,
        epoch,
        predecessor: predecessor_epoch === null ? null : { epoch: predecessor_epoch, lastSequence: predecessor_last },
        ranges: recorded > 0 ? [{ first, last: watermark }] : [],
        gaps: [],
        recorded,
        ...counts,
        waitingForProjection: waiting,
        missing: recorded - counts.messages - counts.repeats - counts.quarantined - waiting,
      });
    }
    return { site, lanes };
  }

  async #counts(site: string, lane: Lane, epoch: string): Promise<{ messages: number; repeats: number; quarantined: number }> {
    const rows = await this.#storage
      .selectFrom("messages")
      .select((eb) => ["state", eb.fn.countAll<number>().as("count")])
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("epoch", "=", epoch)
      .groupBy("state")
      .execute();
    const quarantined = await this.#storage
      .selectFrom("quarantine")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("epoch", "=", epoch)
      .executeTakeFirst();
    const of = (state: string): number => Number(rows.find((row) => row.state === state)?.count ?? 0);
    return { messages: of("recorded"), repeats: of("repeat"), quarantined: Number(quarantined?.count ?? 0) };
  }

  async #waiting(site: string, lane: Lane, epoch: string): Promise<number> {
    const row = await this.#storage
      .selectFrom("work")
      .innerJoin("batches", "batches.position", "work.batch")
      .select((eb) => eb.fn.sum<number | null>(eb("work.count", "-", eb.ref("work.done"))).as("waiting"))
      .where("batches.site", "=", site)
      .where("batches.lane", "=", lane)
      .where("batches.epoch", "=", epoch)
      .executeTakeFirst();
    return Number(row?.waiting ?? 0);
  }
}
