import { equipmentSampled, type Lane } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { heldSites, hold } from "../router/held.ts";
import { type LateBatch, withoutOvertaken } from "../router/overtaken.ts";
import type { Routes } from "../router/routes.ts";
import { type RecordedMessage, sendDown } from "../router/send.ts";
import { insertRows } from "../storage/bulk.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import type { JudgedLines, Refused } from "./judge.ts";
import { takeKeys } from "./once.ts";
import { deliveryCompleted, noteOrders } from "./orders.ts";
import type { Stretch } from "./plan.ts";
import { evidenceOf, setLinesAside } from "./quarantine.ts";

/** Some lines of a batch, judged. */
export interface JudgedStretch extends JudgedLines {
  readonly stretch: Stretch;
}
export interface SliceDeps {
  readonly routes: Pick<Routes, "route" | "unreadable">;
  readonly alarms: Alarms;
  readonly now: number;
  /** Where the messages are of a batch whose turn was long ago. */
  readonly late?: LateBatch | undefined;
  /** The data of a message that the ledger holds. */
  readonly dataAt: (position: number) => Promise<unknown>;
}
export interface Projected {
  /** Sites that got something to fetch. */
  readonly sites: ReadonlySet<string>;
  readonly alarms: readonly Alarm[];
}

/**
 * Writes all that follows from some stretches of one lane: ledger, once-keys, orders, routes, exceptions, quarantine. Runs inside the
 * caller's transaction, which also moves the cursor, so that a crash leaves all of it or nothing. Everything is judged before the ledger's
 * counter is locked; each line has a position, also one that is set aside.
 */
export async function projectStretches(
  tx: StorageTransaction,
  sender: { readonly site: string; readonly lane: Lane },
  judged: readonly JudgedStretch[],
  deps: SliceDeps,
): Promise<Projected> {
  let slice = await reservePositions(
    tx,
    judged.reduce((sum, { stretch }) => sum + stretch.count, 0),
  );
  const placed = judged.map((each) => {
    const position = slice + 1;
    slice += each.stretch.count;
    return { ...each, position };
  });
  const messages = placed.flatMap(({ accepted, position }) =>
    accepted.map(({ index, event }) => ({ position: position + index, slice: position, event })),
  );
  const again = await takeKeys(tx, sender.site, messages, deps.dataAt);
  for (const each of placed) await writeSlice(tx, sender, each, again);
  const recorded = messages.filter(({ position }) => !again.has(position));
  await noteDeliveries(tx, recorded);
  await noteOrders(tx, recorded);
  return sender.lane === "telemetry" ? { sites: new Set(), alarms: [] } : route(tx, recorded, deps);
}

type Placed = JudgedStretch & { readonly position: number };

/** The ledger's row of one stretch, what of it is set aside, and the count of both. */
async function writeSlice(
  tx: StorageTransaction,
  sender: { readonly site: string; readonly lane: Lane },
  { stretch, position, samples, accepted, refused }: Placed,
  again: Awaited<ReturnType<typeof takeKeys>>,
): Promise<void> {
  const types = new Map<string, number>(samples > 0 ? [[equipmentSampled.type, samples]] : []);
  const skips: [index: number, of: number][] = [];
  const aside: (Refused & { conflictsWith?: number })[] = [...refused];
  let repeats = 0;
  for (const { index, line, event } of accepted) {
    const before = again.get(position + index);
    if (before === undefined) types.set(event.type, (types.get(event.type) ?? 0) + 1);
    else if (before.kind === "repeat") {
      repeats++;
      skips.push([index, before.of]);
    } else {
      const reason = `the idempotency key "${event.idempotencykey}" was recorded with another content`;
      aside.push({ index, evidence: evidenceOf(line), code: "conflict", reason, conflictsWith: before.of });
    }
  }
  for (const { index } of aside) skips.push([index, 0]);
  const { batch, count, firstSequence } = stretch;
  const { site, lane } = sender;
  if (aside.length < count) {
    await tx
      .insertInto("slices")
      .values({
        position,
        count,
        site,
        lane,
        epoch: batch.epoch,
        first_sequence: firstSequence,
        batch: batch.number,
        body_offset: stretch.bodyOffset,
        body_bytes: stretch.bodyBytes,
        skip_lines: stretch.skipLines,
        types: JSON.stringify(Object.fromEntries(types)),
        skips: skips.length === 0 ? null : JSON.stringify(skips.sort(([a], [b]) => a - b)),
        repeats,
        received_at: batch.receivedAt,
        age_ms: batch.ageMs,
      })
      .execute();
  }
  await setLinesAside(
    tx,
    { site, lane, epoch: batch.epoch, receivedAt: batch.receivedAt },
    aside.map(({ index, ...line }) => ({ ...line, sequence: firstSequence + index })),
  );
  await tally(
    tx,
    { site, lane, epoch: batch.epoch },
    { messages: count - repeats - aside.length, repeats, quarantined: aside.length },
  );
}

/** Counts what became of an epoch's messages. */
export async function tally(
  tx: StorageTransaction,
  place: { readonly site: string; readonly lane: Lane; readonly epoch: string },
  counts: { readonly messages: number; readonly repeats: number; readonly quarantined: number },
): Promise<void> {
  await tx
    .insertInto("tallies")
    .values({ ...place, ...counts })
    .onConflict((conflict) =>
      conflict.columns(["site", "lane", "epoch"]).doUpdateSet((eb) => ({
        messages: eb("tallies.messages", "+", counts.messages),
        repeats: eb("tallies.repeats", "+", counts.repeats),
        quarantined: eb("tallies.quarantined", "+", counts.quarantined),
      })),
    )
    .execute();
}

/** Reserves numbers after the last one given out. From here to the commit projections of all replicas take turns. */
async function reservePositions(tx: StorageTransaction, count: number): Promise<number> {
  const { value } = await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", count) }))
    .where("name", "=", "ledger")
    .returning("value")
    .executeTakeFirstOrThrow();
  return value - count;
}

async function noteDeliveries(tx: StorageTransaction, recorded: readonly RecordedMessage[]): Promise<void> {
  const rows = recorded
    .filter(({ event }) => event.type === deliveryCompleted)
    .map(({ event, position, slice }) => ({ message_id: String(event.data.messageId), position, slice }));
  await insertRows(tx, "deliveries", ["message_id", "position", "slice"], rows);
}

/** Who gets what; where somebody's configuration cannot be read, what he may be meant to get is held for him. */
async function route(tx: StorageTransaction, recorded: readonly RecordedMessage[], deps: SliceDeps): Promise<Projected> {
  const perSite = new Map<string, RecordedMessage[]>();
  const { unreadable } = deps.routes;
  const held = new Set([...(await heldSites(tx)), ...unreadable.keys()]);
  let heldFrom: number | undefined;
  const unrouted = new Map<string, Alarm>();
  for (const message of recorded) {
    const { event, position } = message;
    const routing = deps.routes.route(event, held);
    if (routing.kind !== "kept") heldFrom ??= message.slice;
    if (routing.kind === "routed") {
      for (const to of routing.sites) {
        const list = perSite.get(to);
        if (list) list.push(message);
        else perSite.set(to, [message]);
      }
    } else if (routing.kind === "unrouted") {
      const { target, reason } = routing;
      const key = `${event.type}\n${target}`;
      const count = (unrouted.get(key)?.count ?? 0) + 1;
      unrouted.set(key, { site: event.site, kind: "unrouted", type: event.type, target, reason, count, position });
    }
  }
  const sites = new Set<string>();
  const overtaken: Alarm[] = [];
  // in one order, as everywhere that rows of several sites are locked
  for (const [site, messages] of [...perSite].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { sent, alarms } = deps.late ? await withoutOvertaken(tx, deps.late, site, messages) : { sent: messages, alarms: [] };
    overtaken.push(...alarms);
    if (sent.length === 0) continue;
    await sendDown(tx, site, sent, deps.now);
    sites.add(site);
  }
  if (heldFrom !== undefined) await hold(tx, unreadable.keys(), heldFrom);
  return { sites, alarms: await deps.alarms.raise(tx, [...unrouted.values(), ...overtaken]) };
}
