import { type Selectable, sql } from "kysely";
import type { OrdersAnswer } from "../http/views.ts";
import type { Schema } from "../storage/schema.ts";
import type { Storage } from "../storage/storage.ts";

/** Orders that a text may lead to and that are then sorted; where there are more, those touched last are walked through instead. */
const mostCandidates = 1000;
/** Orders that are walked through between two turns of the event loop. */
const ordersPerLook = 1000;

/** Finds orders by the beginning of their id, or of a name that they have or had. */
export class OrderSearch {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** The last touched first; without text all. Letters A to Z count as small ones. */
  async search(text: string, limit: number): Promise<OrdersAnswer> {
    const beginning = lower(text);
    const candidates = beginning === "" ? undefined : await this.#candidates(beginning);
    if (!candidates) return { orders: await this.#walk(beginning, limit) };
    if (candidates.length === 0) return { orders: [] };
    const rows = await ordersOf(this.#storage).where("mo_id", "in", candidates).limit(limit).execute();
    return { orders: rows.map(viewOf) };
  }

  /** Ids of all orders that fit; undefined where they are many. */
  async #candidates(beginning: string): Promise<string[] | undefined> {
    // no text is behind this one that begins alike
    const end = `${beginning}\u{10ffff}`;
    const byId = await this.#storage
      .selectFrom("orders")
      .select("mo_id")
      .where(sql<boolean>`lower(mo_id) >= ${beginning}`)
      .where(sql<boolean>`lower(mo_id) < ${end}`)
      .limit(mostCandidates + 1)
      .execute();
    const byName = await this.#storage
      .selectFrom("order_names")
      .select("mo_id")
      .where(sql<boolean>`lower(order_name) >= ${beginning}`)
      .where(sql<boolean>`lower(order_name) < ${end}`)
      .limit(mostCandidates + 1)
      .execute();
    const ids = new Set([...byId, ...byName].map(({ mo_id }) => mo_id));
    return Math.max(ids.size, byId.length, byName.length) > mostCandidates ? undefined : [...ids];
  }

  async #walk(beginning: string, limit: number): Promise<OrdersAnswer["orders"]> {
    const found: OrdersAnswer["orders"][number][] = [];
    const most = beginning === "" ? limit : ordersPerLook;
    let before: OrderRow | undefined;
    for (;;) {
      const rows = await ordersOf(this.#storage, before).limit(most).execute();
      const fit = rows.filter(
        (row) => lower(row.mo_id).startsWith(beginning) || lower(row.order_name ?? "").startsWith(beginning),
      );
      found.push(...fit.map(viewOf));
      before = rows.at(-1);
      if (found.length >= limit || rows.length < most) return found.slice(0, limit);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

type OrderRow = Pick<Selectable<Schema["orders"]>, "mo_id" | "order_name" | "plant" | "last_at" | "last_position" | "messages">;

/** Orders in their order, behind one of them. */
function ordersOf(storage: Storage, before?: OrderRow) {
  return storage
    .selectFrom("orders")
    .select(["mo_id", "order_name", "plant", "last_at", "last_position", "messages"])
    .$if(before !== undefined, (query) =>
      query.where(sql<boolean>`(last_position, mo_id) < (${before?.last_position}, ${before?.mo_id})`),
    )
    .orderBy("last_position", "desc")
    .orderBy("mo_id", "desc");
}

function viewOf(row: OrderRow): OrdersAnswer["orders"][number] {
  return { moId: row.mo_id, orderName: row.order_name, plant: row.plant, lastAt: row.last_at, messages: row.messages };
}

/** As both storages do it: what is beyond ASCII stays as it is. */
function lower(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
