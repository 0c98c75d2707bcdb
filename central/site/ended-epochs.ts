import { type Lane, type StatusReport, toInstant } from "../../protocol/index.ts";
import type { Alarm } from "../alert/alarms.ts";
import type { LaneLoss } from "../http/api/losses.ts";
import type { StorageTransaction } from "../storage/storage.ts";

/** An epoch that ended without a word: what is known of its end. */
export interface EndedEpoch {
  readonly watermark: number;
  /** What its gateway's last report gave as its last number, and when that came; null: no report named this epoch. */
  readonly said_last: number | null;
  readonly said_at: number | null;
}

/** A lane goes on under an epoch that names none before it: what is known of the end of the one before is kept with that one. */
export async function endEpoch(
  tx: StorageTransaction,
  site: string,
  lane: Lane,
  { epoch, watermark }: { readonly epoch: string; readonly watermark: number },
  now: number,
): Promise<EndedEpoch> {
  const row = await tx.selectFrom("sites").select(["status", "status_at"]).where("name", "=", site).executeTakeFirst();
  const status = row?.status ? (JSON.parse(row.status) as StatusReport) : undefined;
  const said = status?.lanes.find((each) => each.lane === lane && each.epoch === epoch);
  const ended = { said_last: said?.last ?? null, said_at: said ? (row?.status_at ?? null) : null };
  await tx
    .updateTable("epochs")
    .set({ ...ended, ended_at: now })
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "=", epoch)
    .execute();
  return { watermark, ...ended };
}

/** What is lost of an epoch, as a range: from behind what is recorded to what its gateway last spoke of, and then nobody knows. */
export function lossOf({ ended_at, ...ended }: EndedEpoch & { readonly ended_at: number }): Omit<LaneLoss, "lane" | "epoch"> {
  const { watermark, said_last: last, said_at: saidAt } = ended;
  return {
    first: watermark + 1,
    last: last === null ? null : Math.max(last, watermark),
    count: last === null ? null : Math.max(0, last - watermark),
    saidAt: saidAt === null ? null : toInstant(saidAt),
    endedAt: toInstant(ended_at),
    summary: describeLoss(ended),
  };
}

/** "19 to 25 lost, its gateway's last report of … said 25; what it took in after that is not known". */
export function describeLoss({ watermark, said_last: last, said_at: at }: EndedEpoch): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  if (last === null || at === null)
    return `what came after ${number(watermark)} is lost, and how much that is is not known: no report of its gateway spoke of it`;
  const report = `its gateway's last report, of ${toInstant(at)},`;
  const after = "what it took in after that is not known";
  if (last <= watermark) return `all up to ${number(last)} is recorded, as far as ${report} spoke of it; ${after}`;
  const range = last === watermark + 1 ? number(last) : `${number(watermark + 1)} to ${number(last)}`;
  return `${range} lost: ${report} spoke of ${number(last)}; ${after}`;
}

/** The range of a loss, for an alarm; undefined where nothing is known to be lost. */
export function lostRange({ watermark, said_last: last }: EndedEpoch): Pick<Alarm, "range"> {
  return last !== null && last > watermark ? { range: { first: watermark + 1, last } } : {};
}
