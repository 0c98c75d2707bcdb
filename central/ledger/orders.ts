import { sql } from "kysely";
import { type CloudEvent, messageTypeOf } from "../../protocol/index.ts";
import { insertRows } from "../storage/bulk.ts";
import type { StorageTransaction } from "../storage/storage.ts";

const orderReleased = "mfg.production-order.released.v1";
export const deliveryCompleted = "mfg.delivery.completed.v1";

interface Recorded {
  readonly position: number;
  /** The row of `slices` that holds it. */
  readonly slice: number;
  readonly event: CloudEvent;
}
interface OrderNote {
  name: string | null;
  plant: string | null;
  item: string | null;
  quantity: string | null;
  revision: number;
  lastAt: string;
  lastPosition: number;
  readonly places: { readonly position: number; readonly slice: number }[];
}

/** Rows of one statement: equal texts are compiled once. */
const rowsPerStatement = 100;

/** Keeps the index by which people find messages: production order id and order name. Samples have none; outcomes of deliveries are hops. */
export async function noteOrders(tx: StorageTransaction, recorded: readonly Recorded[]): Promise<void> {
  const notes = new Map<string, OrderNote>();
  for (const message of recorded) {
    const type = messageTypeOf(message.event.type);
    if (!type.orders || type.type === deliveryCompleted) continue;
    for (const moId of new Set(type.orders(message.event.data)))
      notes.set(moId, noted(notes.get(moId), message, type.orderName?.(message.event.data) ?? null));
  }
  const places = [...notes].flatMap(([moId, note]) => note.places.map((place) => ({ mo_id: moId, ...place })));
  await insertRows(tx, "message_orders", ["mo_id", "position", "slice"], places);
  for (const part of parts([...notes])) await write(tx, part);
}

function noted(before: OrderNote | undefined, { position, slice, event }: Recorded, name: string | null): OrderNote {
  const note = before ?? {
    name: null,
    plant: null,
    item: null,
    quantity: null,
    revision: 0,
    lastAt: "",
    lastPosition: 0,
    places: [],
  };
  note.places.push({ position, slice });
  note.lastPosition = position;
  note.lastAt = event.time;
  if (event.type !== orderReleased) {
    note.plant ??= event.site;
    return note;
  }
  const { item, quantity, revision, warehouse } = event.data as {
    item: string;
    quantity: { value: string; unitCode: string };
    revision: number;
    warehouse: string;
  };
  if (revision < note.revision) return note;
  return {
    ...note,
    name,
    plant: event.targetsite ?? warehouse,
    item,
    quantity: `${quantity.value} ${quantity.unitCode}`,
    revision,
  };
}

/** An older revision that arrives late changes nothing that people see, nor does a message that is no release. */
async function write(tx: StorageTransaction, notes: readonly (readonly [string, OrderNote])[]): Promise<void> {
  const newest = sql<boolean>`excluded.revision > 0 and excluded.revision >= orders.revision`;
  const content = <Column extends "order_name" | "plant" | "item" | "quantity" | "revision">(column: Column) =>
    sql<never>`case when ${newest} then ${sql.ref(`excluded.${column}`)} else ${sql.ref(`orders.${column}`)} end`;
  await tx
    .insertInto("orders")
    .values(
      notes.map(([mo_id, note]) => ({
        mo_id,
        order_name: note.name,
        plant: note.plant,
        item: note.item,
        quantity: note.quantity,
        revision: note.revision,
        last_at: note.lastAt,
        last_position: note.lastPosition,
        messages: note.places.length,
      })),
    )
    .onConflict((conflict) =>
      conflict.column("mo_id").doUpdateSet((eb) => ({
        order_name: content("order_name"),
        plant: content("plant"),
        item: content("item"),
        quantity: content("quantity"),
        revision: content("revision"),
        last_at: eb.ref("excluded.last_at"),
        last_position: eb.ref("excluded.last_position"),
        messages: eb("orders.messages", "+", eb.ref("excluded.messages")),
      })),
    )
    .execute();
  const names = notes.flatMap(([mo_id, { name, lastPosition }]) =>
    name === null ? [] : [{ order_name: name, mo_id, last_position: lastPosition }],
  );
  if (names.length === 0) return;
  await tx
    .insertInto("order_names")
    .values(names)
    .onConflict((conflict) =>
      conflict.columns(["order_name", "mo_id"]).doUpdateSet((eb) => ({ last_position: eb.ref("excluded.last_position") })),
    )
    .execute();
}

function* parts<Row>(rows: readonly Row[]): Generator<Row[]> {
  for (let at = 0; at < rows.length; at += rowsPerStatement) yield rows.slice(at, at + rowsPerStatement);
}
