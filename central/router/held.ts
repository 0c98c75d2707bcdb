import { type Clock, type CloudEvent, hasDisposition, lanes } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import type { Frames } from "../ledger/frames.ts";
import { Lines, parseLine, type SliceRow, skipsOf, sliceColumns, typesOf } from "../ledger/lines.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Routes } from "./routes.ts";
import { type RecordedMessage, sendDown } from "./send.ts";

/** Messages that one part looks at, at least, where there are as many; nothing else is projected meanwhile. */
const messagesAtOnce = 1000;
const slicesAtOnce = 64;

export interface HeldDeps {
  readonly storage: Storage;
  readonly routes: Pick<Routes, "refresh" | "route" | "takes" | "mayTake" | "unreadable">;
  readonly frames: Frames;
  readonly alarms: Alarms;
  readonly clock: Clock;
}

/**
 * Sites that nothing is routed to for now, as their configuration could not be read: since which position of the ledger a row of
 * `held_sites` says. Once it can be read, the ledger from there on is routed to them (ADR 0042). Asked while the ledger's counter is locked, so
 * that a site is behind by all of a step or by nothing of it.
 */
export async function heldSites(db: Storage | StorageTransaction): Promise<Set<string>> {
  const rows = await db.selectFrom("held_sites").select("site").execute();
  return new Set(rows.map(({ site }) => site));
}

/** From this position on nothing is routed to these sites. */
export async function hold(tx: StorageTransaction, sites: Iterable<string>, position: number): Promise<void> {
  for (const site of [...sites].sort()) {
    await tx
      .insertInto("held_sites")
      .values({ site, position })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** What came of one part: whether its site has something to fetch; `stuck` where the ledger cannot be read on. */
export type CaughtUp =
  | { readonly kind: "none" }
  | { readonly kind: "part"; readonly site: string; readonly sent: number; readonly alarms: readonly Alarm[] }
  | { readonly kind: "stuck"; readonly site: string };

/** Routes a part of what a site whose configuration can be read again has missed to it, in the ledger's order. Durable on return. */
export function catchUp(deps: HeldDeps): Promise<CaughtUp> {
  const { storage, routes } = deps;
  return storage.transaction().execute(async (tx) => {
    await routes.refresh(tx);
    const rows = await tx.selectFrom("held_sites").select("site").orderBy("site").execute();
    const site = rows.map((row) => row.site).find((each) => !routes.unreadable.has(each));
    if (site === undefined) return { kind: "none" };
    await lockLedger(tx);
    const row = await tx.selectFrom("held_sites").select("position").where("site", "=", site).executeTakeFirst();
    return row ? routePart(tx, deps, site, row.position) : { kind: "none" };
  });
}

async function routePart(tx: StorageTransaction, deps: HeldDeps, site: string, from: number): Promise<CaughtUp> {
  const { routes, alarms, clock } = deps;
  const others = await heldSites(tx);
  others.delete(site);
  const slices = await routedSlices(tx, from);
  const messages: RecordedMessage[] = [];
  const unrouted: Alarm[] = [];
  let [next, looked, ended] = [from, 0, slices.length < slicesAtOnce];
  let stuck = false;
  for (const slice of slices) {
    const events = await eventsOf(tx, deps, site, slice);
    if (!events || looked >= messagesAtOnce) {
      [ended, stuck] = [false, !events];
      break;
    }
    for (const { position, event } of events) {
      const routing = routes.route(event, others);
      if (routes.takes(site, event)) messages.push({ position, slice: slice.position, event });
      else if (routing.kind === "unrouted" && concerns(event, site))
        unrouted.push({ ...routing, site: event.site, type: event.type, count: 1, position });
    }
    next = slice.position + slice.count;
    looked += events.length;
  }
  if (messages.length > 0) await sendDown(tx, site, messages, clock.now());
  const held = { site, position: next };
  if (ended) await tx.deleteFrom("held_sites").where("site", "=", site).execute();
  else await tx.updateTable("held_sites").set(held).where("site", "=", site).execute();
  if (stuck && next === from) return { kind: "stuck", site };
  return { kind: "part", site, sent: messages.length, alarms: await alarms.raise(tx, unrouted) };
}

/** The next rows of the ledger that may hold messages for other sites; an index leads to each lane's. */
async function routedSlices(tx: StorageTransaction, from: number): Promise<SliceRow[]> {
  const found: SliceRow[] = [];
  for (const lane of lanes.filter((each) => each !== "telemetry")) {
    const ofLane = tx.selectFrom("slices").select(sliceColumns).where("lane", "=", lane).where("position", ">=", from);
    found.push(...(await ofLane.orderBy("position").limit(slicesAtOnce).execute()));
  }
  return found.sort((a, b) => a.position - b.position).slice(0, slicesAtOnce);
}

/** Whether nobody was told yet that no site takes it: while the site was held, it might have been the one. */
function concerns({ targetsite }: CloudEvent, site: string): boolean {
  return targetsite === undefined || targetsite === site;
}

/** The recorded messages of a slice; undefined where they cannot be read, and the site may take some of them. */
async function eventsOf(
  tx: StorageTransaction,
  { frames, routes }: HeldDeps,
  site: string,
  slice: SliceRow,
): Promise<{ position: number; event: CloudEvent }[] | undefined> {
  const lines = new Lines(tx, frames);
  const events: { position: number; event: CloudEvent }[] = [];
  try {
    const skipped = skipsOf(slice);
    for (let index = 0; index < slice.count; index++) {
      const position = slice.position + index;
      if (!skipped.has(index)) events.push({ position, event: parseLine(await lines.at(slice, position)) });
    }
    return events;
  } catch (error) {
    if (!hasDisposition(error, "quarantine")) throw error;
    frames.forget(slice);
    return mayTake(routes, site, slice) ? undefined : [];
  }
}

/** Where even the types cannot be read, it may. */
function mayTake(routes: HeldDeps["routes"], site: string, slice: SliceRow): boolean {
  try {
    return routes.mayTake(site, typesOf(slice));
  } catch (error) {
    if (!hasDisposition(error, "quarantine")) throw error;
    return true;
  }
}

/** From here to the commit nothing is projected: what is behind is caught up with to the last message. */
async function lockLedger(tx: StorageTransaction): Promise<void> {
  await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", 0) }))
    .where("name", "=", "ledger")
    .execute();
}
