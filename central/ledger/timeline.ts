import { type CloudEvent, toInstant } from "../../protocol/index.ts";
import type { Hop, OrderMessage, OrderView } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";
import type { Damage } from "./damage.ts";
import type { Frames } from "./frames.ts";
import { Lines, parseLine, placeOf, type SliceRow, sliceColumns } from "./lines.ts";
import { summarize } from "./summary.ts";

const maxMessages = 2000;

/** An order's way: from the source, over gateways and central, to where their messages were taken. */
export class Timeline {
  readonly #storage: Storage;
  readonly #frames: Frames;
  readonly #damage: Damage;

  constructor(deps: { readonly storage: Storage; readonly frames: Frames; readonly damage: Damage }) {
    this.#storage = deps.storage;
    this.#frames = deps.frames;
    this.#damage = deps.damage;
  }

  /** An order by its id, else by its name; names come again over the years, so the newest with that name. */
  async order(idOrName: string): Promise<OrderView | undefined> {
    const db = this.#storage;
    const named = db
      .selectFrom("order_names")
      .select("mo_id")
      .where("order_name", "=", idOrName)
      .orderBy("last_position", "desc")
      .limit(1);
    const order =
      (await db.selectFrom("orders").selectAll().where("mo_id", "=", idOrName).executeTakeFirst()) ??
      (await db.selectFrom("orders").selectAll().where("mo_id", "=", named).executeTakeFirst());
    if (!order) return undefined;
    const rows = await db
      .selectFrom("message_orders")
      .innerJoin("slices", "slices.position", "message_orders.slice")
      .select(sliceColumns)
      .select("message_orders.position as at")
      .where("message_orders.mo_id", "=", order.mo_id)
      .orderBy("message_orders.position")
      .limit(maxMessages)
      .execute();
    const { found, unreadable } = await this.#events(rows);
    const positions = rows.map(({ at }) => at);
    const routed =
      positions.length === 0
        ? []
        : await db.selectFrom("downlink").selectAll().where("position", "in", positions).orderBy("sequence").execute();
    const outcomes = await this.#outcomes(found.map(({ event }) => event.id));
    const messages = found.map(({ row, event }): OrderMessage => {
      const hops = [
        ...recordingHops(event, row.received_at),
        ...routed.filter((each) => each.position === row.at).flatMap(routingHops),
        ...(outcomes.get(event.id) ?? []),
      ];
      const { site, lane, epoch } = row;
      const { id, type, time, recordedtime, data } = event;
      return {
        id,
        type,
        site,
        lane,
        epoch,
        sequence: sequenceOf(row),
        time,
        recordedtime,
        summary: summarize(event),
        data,
        hops: hops.sort(byTime),
      };
    });
    return {
      moId: order.mo_id,
      orderName: order.order_name,
      plant: order.plant,
      item: order.item,
      quantity: order.quantity,
      messages,
      unreadable: unreadable.map((row) => ({
        site: row.site,
        lane: row.lane,
        epoch: row.epoch,
        sequence: sequenceOf(row),
        recordedAt: toInstant(row.received_at),
      })),
    };
  }

  /** How each message's deliveries ended, as its sites' gateways reported. */
  async #outcomes(messageIds: readonly string[]): Promise<Map<string, Hop[]>> {
    const hops = new Map<string, Hop[]>();
    if (messageIds.length === 0) return hops;
    const rows = await this.#storage
      .selectFrom("deliveries")
      .innerJoin("slices", "slices.position", "deliveries.slice")
      .select(sliceColumns)
      .select(["deliveries.message_id", "deliveries.position as at"])
      .where("deliveries.message_id", "in", messageIds)
      .orderBy("deliveries.position")
      .execute();
    for (const { row, event } of (await this.#events(rows)).found)
      hops.set(row.message_id, [...(hops.get(row.message_id) ?? []), outcomeHop(event)]);
    return hops;
  }

  /** What damage has made unreadable is left out, and named. */
  async #events<Row extends SliceRow & { readonly at: number }>(
    rows: readonly Row[],
  ): Promise<{ found: { row: Row; event: CloudEvent }[]; unreadable: Row[] }> {
    const found: { row: Row; event: CloudEvent }[] = [];
    const unreadable: Row[] = [];
    const lines = new Lines(this.#storage, this.#frames);
    for (const row of rows) {
      const read = await this.#damage.read(placeOf(row), async () => parseLine(await lines.at(row, row.at)));
      if (read) found.push({ row, event: read.value });
      else unreadable.push(row);
    }
    return { found, unreadable };
  }
}

function sequenceOf(row: SliceRow & { readonly at: number }): number {
  return row.first_sequence + row.at - row.position;
}

const kindOrder: readonly Hop["kind"][] = [
  "happened",
  "recorded",
  "central",
  "routed",
  "received",
  "delivered",
  "accepted",
  "refused",
  "unknown",
];

/** In time; clocks of machines, plants and central differ, so steps of the same instant keep their natural order. */
function byTime(a: Hop, b: Hop): number {
  return Date.parse(a.at) - Date.parse(b.at) || kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind);
}

function recordingHops(event: CloudEvent, receivedAt: number): Hop[] {
  const connector = event.source.split(":").at(-1) ?? event.source;
  return [
    { at: event.time, site: event.site, place: connector, kind: "happened", what: `${summarize(event)} (${connector})` },
    {
      at: event.recordedtime,
      site: event.site,
      place: "gateway",
      kind: "recorded",
      what: `On disk in the gateway of ${event.site}`,
    },
    { at: toInstant(receivedAt), site: "central", place: "ledger", kind: "central", what: "On disk at central" },
  ];
}

function routingHops(row: { readonly site: string; readonly routed_at: number; readonly acked_at: number | null }): Hop[] {
  const routed: Hop = {
    at: toInstant(row.routed_at),
    site: "central",
    place: "router",
    kind: "routed",
    what: `Routed to ${row.site}`,
  };
  if (row.acked_at === null) return [routed];
  return [
    routed,
    {
      at: toInstant(row.acked_at),
      site: row.site,
      place: "gateway",
      kind: "received",
      what: `On disk in the gateway of ${row.site}`,
    },
  ];
}

function outcomeHop(event: CloudEvent): Hop {
  const { connector, destination, outcome, completedAt, detail } = event.data as {
    connector: string;
    destination: string;
    outcome: "delivered" | "accepted" | "refused" | "unknown";
    completedAt: string;
    detail?: string;
  };
  const because = detail === undefined || detail === "" ? "" : `: ${detail}`;
  const sentences = {
    delivered: `Delivered to ${connector} (${destination})`,
    accepted: `Accepted by ${connector} (${destination})`,
    refused: `Refused by ${connector} (${destination})`,
    unknown: `Sent to ${connector} (${destination}); nobody can tell whether it arrived`,
  };
  return { at: completedAt, site: event.site, place: connector, kind: outcome, what: `${sentences[outcome]}${because}` };
}
