import type { CloudEvent } from "../../protocol/index.ts";
import { insertRows } from "../storage/bulk.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import { keyNumber } from "./parked.ts";

/** A message that the ledger holds. */
export interface RecordedMessage {
  readonly position: number;
  readonly slice: number;
  readonly event: CloudEvent;
}

/** Puts messages into a site's downlink, numbered from the counter in its row, so that numbers have no holes and follow the ledger. */
export async function sendDown(
  tx: StorageTransaction,
  site: string,
  messages: readonly RecordedMessage[],
  now: number,
): Promise<void> {
  const { downlink_last: last } = await tx
    .updateTable("sites")
    .set((eb) => ({ downlink_last: eb("downlink_last", "+", messages.length) }))
    .where("name", "=", site)
    .returning("downlink_last")
    .executeTakeFirstOrThrow();
  const first = last - messages.length + 1;
  const rows = messages.map(({ position, slice, event }, index) => ({
    site,
    sequence: first + index,
    position,
    slice,
    routed_at: now,
    acked_at: null,
    key: keyNumber(event.partitionkey),
    parked_at: null,
  }));
  const columns = ["site", "sequence", "position", "slice", "routed_at", "acked_at", "key", "parked_at"] as const;
  await insertRows(tx, "downlink", columns, rows);
}
