import { sql } from "kysely";
import { type CloudEvent, toInstant } from "../../protocol/index.ts";
import type { Hop, OrderMessage, OrdersAnswer, OrderView } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";
import { summarize } from "./summary.ts";

const maxMessages = 2000;

/** Orders and their way: from the source, over gateways and central, to where their messages were taken. */
export class Timeline {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Orders whose id or name holds the text, the most recently touched first; without text all. */
  async search(text: string, limit: number): Promise<OrdersAnswer> {
    const part = `%${text.replace(/[\\%_]/g, "\\$&")}%`;
    const rows = await this.#storage
      .selectFrom("orders")
      .selectAll()
      .$if(text !== "", (query) =>
        query.where((eb) =>
          eb.or([
            sql<boolean>`mo_id like ${part} escape '\\'`,
            sql<boolean>`order_name like ${part} escape '\\'`,
            eb(
              "mo_id",
              "in",
              eb.selectFrom("order_names").select("order_names.mo_id").where("order_names.order_name", "=", text),
            ),
          ]),
        ),
      )
      .orderBy("last_position", "desc")
      .limit(limit)
      .execute();
    const orders = rows.map((row) => ({
      moId: row.mo_id,
      orderName: row.order_name,
      plant: row.plant,
      lastAt: row.last_at,
      messages: row.messages,
    }));
    return { orders };
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
      .innerJoin("messages", "messages.position", "message_orders.position")
      .selectAll("messages")
      .where("message_orders.mo_id", "=", order.mo_id)
      .where("messages.state", "=", "recorded")
      .orderBy("messages.position")
      .limit(maxMessages)
      .execute();
    const positions = rows.map((row) => row.position);
    const routed =
      positions.length === 0
        ? []
        : await db.selectFrom("downlink").selectAll().where("position", "in", positions).orderBy("sequence").execute();
    const outcomes = await this.#outcomes(rows.map((row) => row.message_id));
    const messages = rows.map((row): OrderMessage => {
      const event = JSON.parse(row.event) as CloudEvent;
      const hops = [
        ...recordingHops(event, row.received_at),
        ...routed.filter((each) => each.position === row.position).flatMap(routingHops),
        ...(outcomes.get(row.message_id) ?? []),
      ];
      const { site, lane, epoch, sequence } = row;
      const { id, type, time, recordedtime, data } = event;
      return {
        id,
        type,
        site,
        lane,
        epoch,
        sequence,
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
    };
  }

  /** How each message's deliveries ended, as its sites' gateways reported. */
  async #outcomes(messageIds: readonly string[]): Promise<Map<string, Hop[]>> {
    const hops = new Map<string, Hop[]>();
    if (messageIds.length === 0) return hops;
    const rows = await this.#storage
      .selectFrom("deliveries")
      .innerJoin("messages", "messages.position", "deliveries.position")
      .select(["deliveries.message_id", "messages.event"])
      .where("deliveries.message_id", "in", messageIds)
      .orderBy("messages.position")
      .execute();
    for (const row of rows)
      hops.set(row.message_id, [...(hops.get(row.message_id) ?? []), outcomeHop(JSON.parse(row.event) as CloudEvent)]);
    return hops;
  }
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
