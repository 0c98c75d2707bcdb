import type { Database, Move, MoveLine, Production } from "./database.ts";
import type { BookedKind, Journal, JournalEntry } from "./journal.ts";
import { round } from "./quantity.ts";
import { type NoteTag, parseNoteTag } from "./tag.ts";

const finishedType = "mfg.finished-goods.confirmed.v1";

/** Turns what the simulated stock does into journal entries. They are held back until the call that caused them has committed. */
export class Recorder {
  readonly #db: Database;
  readonly #journal: Journal;
  readonly #erp: string;
  #pending: JournalEntry[] = [];
  /** How much of each consumption note is booked, by its message row. */
  readonly #booked = new Map<number, number>();

  constructor(db: Database, journal: Journal, erp: string) {
    this.#db = db;
    this.#journal = journal;
    this.#erp = erp;
  }

  commit(): void {
    this.#journal.append(this.#pending);
    this.#pending = [];
  }

  rollback(): void {
    this.#pending = [];
  }

  /** The canonical id of an order: that of the first of its group, however often it was split. */
  moIdOf(order: Production): string {
    const first = this.#db.productions.where("production_group_id", order.production_group_id)[0] ?? order;
    return `${this.#erp}-mo-${first.id}`;
  }

  released(order: Production, revision: number): void {
    const warehouse = this.#db.warehouses.get(this.#db.pickingTypes.get(order.picking_type_id).warehouse_id);
    this.#pending.push({
      at: this.#at(),
      kind: "released",
      moId: this.moIdOf(order),
      orderName: order.name,
      warehouse: warehouse.code,
      item: this.#itemOf(order.product_id),
      quantity: order.product_qty,
      revision,
    });
  }

  booked(line: MoveLine, move: Move, quantity: number): void {
    const what = kindOf(move);
    const order = this.#orderOf(move);
    const lot = line.lot_id === false ? null : (this.#db.lots.find(line.lot_id)?.name ?? null);
    const item = this.#itemOf(line.product_id);
    const txns = this.#txnsOf(what, move, order, item, lot, quantity);
    this.#pending.push({
      at: this.#at(),
      kind: "booked",
      what,
      txn: txns.length === 1 ? (txns[0] ?? null) : null,
      txns,
      moId: order ? this.moIdOf(order) : null,
      orderName: order?.name ?? null,
      item,
      lot,
      quantity,
      moveLineId: line.id,
    });
  }

  noted(model: string, record: number, messageId: string): void {
    const tag = parseNoteTag(messageId);
    if (!tag && messageId.endsWith("@erp-simulator>")) return;
    const order = this.#orderOfRecord(model, record);
    this.#pending.push({
      at: this.#at(),
      kind: "booked",
      what: "note",
      txn: tag?.key ?? null,
      type: tag?.type ?? null,
      record: `${model},${record}`,
      moId: order ? this.moIdOf(order) : null,
      item: tag?.item ?? null,
      lot: tag?.lot ?? null,
      quantity: tag?.quantity ?? null,
    });
  }

  #txnsOf(
    what: BookedKind,
    move: Move,
    order: Production | undefined,
    item: string,
    lot: string | null,
    quantity: number,
  ): string[] {
    if (what === "scrap") return move.scrap_id === false ? [] : this.#lastKey("stock.scrap", move.scrap_id);
    if (what === "pick") return move.picking_id === false ? [] : this.#lastKey("stock.picking", move.picking_id);
    if (!order) return [];
    if (what === "finished") return this.#lastKey("mrp.production", order.id, finishedType);
    // consumption is reported in parts that one line sums up: the oldest notes that are not booked yet
    let left = quantity;
    const keys: string[] = [];
    for (const member of this.#db.productions.where("production_group_id", order.production_group_id)) {
      for (const { id, tag } of this.#notes("mrp.production", member.id)) {
        if (tag.type !== "mfg.material.consumed.v1" || tag.item !== item || (tag.lot ?? null) !== lot || tag.quantity === null)
          continue;
        const before = this.#booked.get(id) ?? 0;
        const open = round(tag.quantity - before);
        if (open <= 0 || left <= 0) continue;
        this.#booked.set(id, round(before + Math.min(open, left)));
        this.#db.transaction.undo.push(() => this.#booked.set(id, before));
        left = round(left - open);
        keys.push(tag.key);
      }
    }
    // a report may come before the consumption that it lists: then its own genealogy is what was booked
    return keys.length > 0 ? keys : this.#lastKey("mrp.production", order.id, finishedType);
  }

  #lastKey(model: string, record: number, type?: string): string[] {
    const last = this.#notes(model, record)
      .filter(({ tag }) => type === undefined || tag.type === type)
      .at(-1);
    return last ? [last.tag.key] : [];
  }

  #notes(model: string, record: number): { readonly id: number; readonly tag: NoteTag }[] {
    return this.#db.messages.where("res_id", record).flatMap((message) => {
      const tag = message.model === model ? parseNoteTag(message.message_id) : undefined;
      return tag ? [{ id: message.id, tag }] : [];
    });
  }

  #orderOf(move: Move): Production | undefined {
    const own = move.raw_material_production_id || move.production_id;
    if (own) return this.#db.productions.find(own);
    return move.picking_id === false ? undefined : this.#orderOfRecord("stock.picking", move.picking_id);
  }

  #orderOfRecord(model: string, record: number): Production | undefined {
    if (model === "mrp.production") return this.#db.productions.find(record);
    if (model === "stock.scrap") {
      const order = this.#db.scraps.find(record)?.production_id;
      return order ? this.#db.productions.find(order) : undefined;
    }
    const group = model === "stock.picking" ? this.#db.pickings.find(record)?.production_group_id : false;
    return group ? this.#db.productions.where("production_group_id", group)[0] : undefined;
  }

  #itemOf(product: number): string {
    const found = this.#db.products.get(product);
    return found.default_code === false ? found.name : found.default_code;
  }

  #at(): string {
    return new Date(this.#db.transaction.now).toISOString();
  }
}

function kindOf(move: Move): BookedKind {
  if (move.scrap_id !== false) return "scrap";
  if (move.raw_material_production_id !== false) return "consumption";
  return move.production_id !== false ? "finished" : "pick";
}
