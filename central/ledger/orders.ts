import { type CloudEvent, messageTypeOf } from "../../protocol/index.ts";
import type { StorageTransaction } from "../storage/storage.ts";

const orderReleased = "mfg.production-order.released.v1";
export const deliveryCompleted = "mfg.delivery.completed.v1";

interface Recorded {
  readonly position: number;
  readonly site: string;
  readonly parsed: CloudEvent;
}
interface OrderNote {
  name: string | null;
  plant: string | null;
  item: string | null;
  quantity: string | null;
  revision: number;
  lastAt: string;
  lastPosition: number;
  readonly positions: number[];
}

/** Keeps the index by which people find messages: production order id and order name. Samples have none; outcomes of deliveries are hops. */
export async function noteOrders(tx: StorageTransaction, recorded: readonly Recorded[]): Promise<void> {
  const notes = new Map<string, OrderNote>();
  for (const message of recorded) {
    const type = messageTypeOf(message.parsed.type);
    if (!type.orders || type.type === deliveryCompleted) continue;
    for (const moId of new Set(type.orders(message.parsed.data)))
      notes.set(moId, noted(notes.get(moId), message, type.orderName?.(message.parsed.data) ?? null));
  }
  for (const [moId, note] of notes) await write(tx, moId, note);
}

function noted(before: OrderNote | undefined, { position, site, parsed }: Recorded, name: string | null): OrderNote {
  const note = before ?? {
    name: null,
    plant: null,
    item: null,
    quantity: null,
    revision: 0,
    lastAt: "",
    lastPosition: 0,
    positions: [],
  };
  note.positions.push(position);
  note.lastPosition = position;
  note.lastAt = parsed.time;
  if (parsed.type !== orderReleased) {
    note.plant ??= site;
    return note;
  }
  const { item, quantity, revision, warehouse } = parsed.data as {
    item: string;
    quantity: { value: string; unitCode: string };
    revision: number;
    warehouse: string;
  };
  if (revision < note.revision) return note;
  return {
    ...note,
    name,
    plant: parsed.targetsite ?? warehouse,
    item,
    quantity: `${quantity.value} ${quantity.unitCode}`,
    revision,
  };
}

async function write(tx: StorageTransaction, moId: string, note: OrderNote): Promise<void> {
  for (const position of note.positions) await tx.insertInto("message_orders").values({ mo_id: moId, position }).execute();
  const known = await tx.selectFrom("orders").selectAll().where("mo_id", "=", moId).executeTakeFirst();
  // an older revision that arrives late changes nothing that people see
  const content =
    note.revision >= (known?.revision ?? 0) && note.revision > 0
      ? { order_name: note.name, plant: note.plant, item: note.item, quantity: note.quantity, revision: note.revision }
      : {};
  const last = { last_at: note.lastAt, last_position: note.lastPosition };
  if (known) {
    await tx
      .updateTable("orders")
      .set({ ...content, ...last, messages: known.messages + note.positions.length })
      .where("mo_id", "=", moId)
      .execute();
  } else {
    const empty = { order_name: null, plant: note.plant, item: null, quantity: null, revision: 0 };
    await tx
      .insertInto("orders")
      .values({ mo_id: moId, ...empty, ...content, ...last, messages: note.positions.length })
      .execute();
  }
  if (note.name !== null) {
    await tx
      .insertInto("order_names")
      .values({ order_name: note.name, mo_id: moId, last_position: note.lastPosition })
      .onConflict((conflict) => conflict.columns(["order_name", "mo_id"]).doUpdateSet({ last_position: note.lastPosition }))
      .execute();
  }
}
