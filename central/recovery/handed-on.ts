import type { Lane } from "../../protocol/index.ts";
import type { StorageTransaction } from "../storage/storage.ts";

/** Where a message is from, by the frames that it came with, and when it was given its place in a site's downlink. */
export interface Handed {
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly first_sequence: number;
  readonly routed_at: number;
}

/** A gateway reports every two seconds, and one report may be under way for 30 s while it goes on taking messages: what came so long after its last one it never got. */
const silentMs = 45_000;

/**
 * Which messages a site's gateway may have had whose disk is gone, so that nobody can tell whether they were delivered (P3). It errs towards what may have been.
 * @param isAnew its gateway knows nothing of the downlink yet
 */
export async function handedBefore(tx: StorageTransaction, site: string, isAnew: boolean): Promise<(message: Handed) => boolean> {
  const byLost = await handedByLostLedger(tx, site);
  const end = isAnew ? await lastTaken(tx, site) : null;
  return (message) => byLost(message) || (end !== null && message.routed_at <= end);
}

/** Up to when the gateway may have taken messages that another one took the place of; null: there was none. What it took last it may not have acknowledged. */
async function lastTaken(tx: StorageTransaction, site: string): Promise<number | null> {
  const { ended, reported } = await tx
    .selectFrom("epochs")
    .select((eb) => [
      eb.fn.max<number | null>("ended_at").as("ended"),
      // of one that never spoke of its epoch, only its successor's hello tells an end
      eb.fn.max<number | null>(eb.fn.coalesce("said_at", "ended_at")).as("reported"),
    ])
    .where("site", "=", site)
    .where("ended_at", "is not", null)
    .executeTakeFirstOrThrow();
  const { acknowledged } = await tx
    .selectFrom("downlink")
    .select((eb) => eb.fn.max<number | null>("acked_at").as("acknowledged"))
    .where("site", "=", site)
    .executeTakeFirstOrThrow();
  const end = reported === null ? null : reported + silentMs;
  if (acknowledged === null || (ended !== null && acknowledged < ended)) return end;
  // a gateway acknowledged messages that no disk has died of since: its queue alone is gone, and its lanes go on under epochs that name those before
  const session = await tx
    .selectFrom("sites as s")
    .innerJoin("sessions as b", "b.id", "s.session")
    .select("b.started_at")
    .where("s.name", "=", site)
    .executeTakeFirst();
  return Math.max(end ?? 0, session?.started_at ?? 0);
}

/**
 * Where central was restored, it does not know what the lost ledger handed to a gateway whose disk died as well: all that the backup had, and what senders
 * had got acknowledged after it. Batches are judged whole.
 */
async function handedByLostLedger(tx: StorageTransaction, site: string): Promise<(message: Handed) => boolean> {
  if (!(await beganAnew(tx, site))) return () => false;
  const epochs = await tx
    .selectFrom("epochs as e")
    .innerJoin("recovery_sites as h", "h.site", "e.site")
    .leftJoin("recovery_lanes as r", (join) =>
      join.onRef("r.site", "=", "e.site").onRef("r.lane", "=", "e.lane").onRef("r.epoch", "=", "e.epoch"),
    )
    .select(["e.site", "e.lane", "e.epoch", "e.started_at", "h.heard_at", "r.epoch as noted", "r.acknowledged"])
    .execute();
  const upTo = new Map<string, number>();
  for (const { noted, acknowledged, started_at, heard_at, ...of } of epochs) {
    // one that its sender began after its first hello is new; of an earlier one nothing is here but what the backup had
    const isNew = noted === null && started_at >= heard_at;
    upTo.set(nameOf(of), isNew ? 0 : (acknowledged ?? Number.POSITIVE_INFINITY));
  }
  // of a sender that was not heard since, all is from the backup
  return (message) => message.first_sequence <= (upTo.get(nameOf(message)) ?? Number.POSITIVE_INFINITY);
}

/** Whether a lane of the site goes on under an epoch that names none before it: its gateway's disk is another one than when the backup was taken. */
async function beganAnew(tx: StorageTransaction, site: string): Promise<boolean> {
  const left = await tx
    .selectFrom("recovery_lanes as r")
    .innerJoin("epochs as e", (join) =>
      join.onRef("e.site", "=", "r.site").onRef("e.lane", "=", "r.lane").onRef("e.epoch", "=", "r.epoch"),
    )
    .select("r.lane")
    .where("r.site", "=", site)
    .where("r.named", "=", 0)
    .where("e.ended_at", "is not", null)
    .limit(1)
    .executeTakeFirst();
  return left !== undefined;
}

function nameOf({ site, lane, epoch }: Pick<Handed, "site" | "lane" | "epoch">): string {
  return `${site} ${lane} ${epoch}`;
}
