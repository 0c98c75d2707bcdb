import type { Insertable } from "kysely";
import type { CloudEvent, Lane } from "../../protocol/index.ts";
import type { Routes } from "../router/routes.ts";
import type { Schema } from "../storage/schema.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import { type Judged, judgeLine, type PlacedLine, sameInput } from "./judge.ts";
import { deliveryCompleted, noteOrders } from "./orders.ts";

/** Where a slice's lines come from. */
export interface Sender {
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly receivedAt: number;
}
type MessageRow = Insertable<Schema["messages"]>;
type Placed = MessageRow & { readonly parsed: CloudEvent };

/** Rows of one INSERT: SQLite takes 32,766 values a statement, and equal texts are compiled once. */
const rowsPerInsert = 100;

/**
 * Writes all that follows from some lines: ledger, orders, routes, exceptions, quarantine. Runs inside the caller's transaction, which
 * also moves the cursor, so that a crash leaves all of it or nothing.
 * @returns the sites that got something to fetch
 */
export async function projectSlice(
  tx: StorageTransaction,
  sender: Sender,
  lines: readonly PlacedLine[],
  routes: Routes,
  now: number,
): Promise<ReadonlySet<string>> {
  const judged = lines.map((placed) => judgeLine(placed, sender, routes));
  const accepted = judged.filter((each) => each.kind === "accepted");
  const known = await knownKeys(tx, sender.site, accepted);
  const refused: Insertable<Schema["quarantine"]>[] = [];
  const refuse = (placed: PlacedLine, code: string, reason: string, conflictsWith: number | null = null): void => {
    const { site, lane, epoch, receivedAt } = sender;
    refused.push({
      site,
      lane,
      epoch,
      sequence: placed.sequence,
      code,
      reason,
      conflicts_with: conflictsWith,
      line: placed.line,
      received_at: receivedAt,
    });
  };
  for (const each of judged) if (each.kind === "refused") refuse(each.placed, each.code, each.reason);

  const rows: Placed[] = [];
  let position = await reservePositions(tx, accepted.length);
  for (const { placed, event } of accepted) {
    const key = event.idempotencykey === undefined ? undefined : onceKey(event.type, event.idempotencykey);
    const first = key === undefined ? undefined : known.get(key);
    if (first && !sameInput(first.event, event)) {
      refuse(
        placed,
        "conflict",
        `the idempotency key "${event.idempotencykey}" was recorded with another content`,
        first.position,
      );
      continue;
    }
    const row = toRow(sender, placed, event, ++position, first?.position ?? null);
    rows.push(row);
    if (key !== undefined && !first) known.set(key, { position, event });
  }
  await insertAll(
    rows.map(({ parsed: _, ...row }) => row),
    (part) => tx.insertInto("messages").values(part).execute(),
  );
  await insertAll(refused, (part) => tx.insertInto("quarantine").values(part).execute());

  const recorded = rows.filter((row) => row.state === "recorded");
  await noteDeliveries(tx, recorded);
  await noteOrders(tx, recorded);
  return route(tx, recorded, routes, now);
}

function toRow(sender: Sender, placed: PlacedLine, event: CloudEvent, position: number, repeatOf: number | null): Placed {
  return {
    position,
    site: sender.site,
    lane: sender.lane,
    epoch: sender.epoch,
    sequence: placed.sequence,
    type: event.type,
    message_id: event.id,
    idempotency_key: event.idempotencykey ?? null,
    input_hash: event.inputhash ?? null,
    state: repeatOf === null ? "recorded" : "repeat",
    repeat_of: repeatOf,
    received_at: sender.receivedAt,
    event: placed.line,
    parsed: event,
  };
}

interface First {
  readonly position: number;
  readonly event: { inputhash?: string; data: unknown };
}
function onceKey(type: string, key: string): string {
  return `${type}\n${key}`;
}

/** What the ledger holds under the slice's idempotency keys: each (site, type, key) is recorded once. */
async function knownKeys(
  tx: StorageTransaction,
  site: string,
  accepted: readonly (Judged & { kind: "accepted" })[],
): Promise<Map<string, First>> {
  const keys = [...new Set(accepted.flatMap(({ event }) => event.idempotencykey ?? []))];
  const known = new Map<string, First>();
  if (keys.length === 0) return known;
  const rows = await tx
    .selectFrom("messages")
    .select(["position", "type", "idempotency_key", "event"])
    .where("site", "=", site)
    .where("idempotency_key", "in", keys)
    .where("state", "=", "recorded")
    .execute();
  for (const row of rows) {
    if (row.idempotency_key === null) continue;
    known.set(onceKey(row.type, row.idempotency_key), { position: row.position, event: JSON.parse(row.event) as First["event"] });
  }
  return known;
}

/** Reserves numbers after the last one given out; a conflict leaves its number unused. */
async function reservePositions(tx: StorageTransaction, count: number): Promise<number> {
  if (count === 0) return 0;
  const { value } = await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", count) }))
    .where("name", "=", "ledger")
    .returning("value")
    .executeTakeFirstOrThrow();
  return value - count;
}

async function noteDeliveries(tx: StorageTransaction, recorded: readonly Placed[]): Promise<void> {
  const rows = recorded
    .filter((row) => row.type === deliveryCompleted)
    .map((row) => ({ message_id: String(row.parsed.data.messageId), position: row.position }));
  await insertAll(rows, (part) => tx.insertInto("deliveries").values(part).execute());
}

/** Numbers a site's downlink from the counter in its row, so that numbers have no holes and follow the ledger. */
async function route(
  tx: StorageTransaction,
  recorded: readonly Placed[],
  routes: Routes,
  now: number,
): Promise<ReadonlySet<string>> {
  const perSite = new Map<string, number[]>();
  const unrouted = new Map<string, Insertable<Schema["exceptions"]>>();
  for (const { parsed, position, site, type } of recorded) {
    const routing = routes.route(parsed);
    if (routing.kind === "routed") {
      for (const to of routing.sites) perSite.set(to, [...(perSite.get(to) ?? []), position]);
    } else if (routing.kind === "unrouted") {
      const key = `${type}\n${routing.target}`;
      const count = (unrouted.get(key)?.count ?? 0) + 1;
      const { target, reason } = routing;
      unrouted.set(key, {
        site,
        type,
        kind: "unrouted",
        target,
        reason,
        count,
        first_at: now,
        last_at: now,
        last_position: position,
      });
    }
  }
  for (const [site, positions] of perSite) {
    const { downlink_last: last } = await tx
      .updateTable("sites")
      .set((eb) => ({ downlink_last: eb("downlink_last", "+", positions.length) }))
      .where("name", "=", site)
      .returning("downlink_last")
      .executeTakeFirstOrThrow();
    const first = last - positions.length + 1;
    const rows = positions.map((position, index) => ({
      site,
      sequence: first + index,
      position,
      routed_at: now,
      acked_at: null,
    }));
    await insertAll(rows, (part) => tx.insertInto("downlink").values(part).execute());
  }
  for (const row of unrouted.values()) await noteUnrouted(tx, row);
  return new Set(perSite.keys());
}

/** One row per sender, type and target: an exception that is seen, not a flood of them. */
async function noteUnrouted(tx: StorageTransaction, row: Insertable<Schema["exceptions"]>): Promise<void> {
  const { reason, last_at, last_position } = row;
  await tx
    .insertInto("exceptions")
    .values(row)
    .onConflict((conflict) =>
      conflict
        .columns(["site", "type", "kind", "target"])
        .doUpdateSet((eb) => ({ reason, last_at, last_position, count: eb("exceptions.count", "+", row.count) })),
    )
    .execute();
}

/** Inserts in parts of equal size, so that the statements' texts repeat. */
async function insertAll<Row>(rows: readonly Row[], insert: (part: Row[]) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < rows.length; at += rowsPerInsert) await insert(rows.slice(at, at + rowsPerInsert));
}
