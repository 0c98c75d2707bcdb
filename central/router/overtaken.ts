import { sql } from "kysely";
import type { CloudEvent, Lane } from "../../protocol/index.ts";
import type { Alarm } from "../alert/alarms.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import { keyNumber } from "./parked.ts";
import type { RecordedMessage } from "./send.ts";

/** A batch that was set aside before it was projected, and is projected now, behind others of its lane (ADR 0065). */
export interface LateBatch {
  readonly site: string;
  readonly lane: Lane;
  readonly batch: number;
}

/**
 * Takes out of a late batch's messages for a site those of whose ordering key a later one of their lane was routed there already: nothing is
 * ever sent behind what came after it (P4). Asked in the transaction that projects them, which has the lane to itself.
 * @returns what may be sent, and alarms that tell of the others
 */
export async function withoutOvertaken(
  tx: StorageTransaction,
  late: LateBatch,
  to: string,
  messages: readonly RecordedMessage[],
): Promise<{ readonly sent: readonly RecordedMessage[]; readonly alarms: readonly Alarm[] }> {
  const overtaken = await overtakenKeys(tx, late, to, new Set(messages.map(({ event }) => keyOf(event))));
  const alarms = new Map<string, Alarm>();
  const sent = messages.filter(({ event, position }) => {
    if (!overtaken.has(keyOf(event))) return true;
    const { site, type } = event;
    const reason = `messages for ${to} could be read from central's disk again only after later ones of the same key had gone there: they are in the ledger and were not sent, as they would undo what came after them`;
    const count = (alarms.get(type)?.count ?? 0) + 1;
    alarms.set(type, { site, kind: "overtaken", lane: late.lane, type, target: to, count, position, reason });
    return false;
  });
  return { sent, alarms: [...alarms.values()] };
}

function keyOf({ partitionkey }: CloudEvent): number {
  return keyNumber(partitionkey);
}

/** Of these keys those of which the site was routed a message of a later batch of the lane. */
async function overtakenKeys(
  tx: StorageTransaction,
  { site, lane, batch }: LateBatch,
  to: string,
  keys: ReadonlySet<number>,
): Promise<Set<number>> {
  const aside = await tx
    .selectFrom("damaged")
    .select("position")
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("batch", "=", batch)
    .executeTakeFirst();
  const rows = await tx
    .selectFrom("downlink")
    .innerJoin("slices", "slices.position", "downlink.slice")
    .select("downlink.key")
    .distinct()
    // only what was routed since it was set aside; by its plain name SQLite would go through all that the site ever got instead
    .where("downlink.position", ">", aside?.position ?? 0)
    .where(sql<string>`downlink.site || ''`, "=", to)
    .where("downlink.key", "in", [...keys])
    .where("slices.site", "=", site)
    .where("slices.lane", "=", lane)
    .where("slices.batch", ">", batch)
    .execute();
  return new Set(rows.map(({ key }) => key));
}
