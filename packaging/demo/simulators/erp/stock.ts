import { type Database, type Move, type MoveLine, type Quant, spotOf } from "./database.ts";
import { userError } from "./fault.ts";
import { round, sum } from "./quantity.ts";

/** Told at the moment the simulated stock changes; `quantity` is negative where a done line is taken back or corrected downwards. */
export type OnBooked = (line: MoveLine, move: Move, quantity: number) => void;

/** Neither done nor cancelled: of a move, a picking or an order. */
export function isOpen(state: string): boolean {
  return state !== "done" && state !== "cancel";
}

type NewLine = Pick<MoveLine, "product_id" | "lot_id" | "quantity" | "picked"> & Partial<MoveLine>;

/**
 * Quants, reservations and moves. A line of a move that is not done reserves its quantity where it comes from; a done line has
 * moved it. Nothing refuses what is not there: as in the real system a quant goes negative, and an empty one lingers.
 */
export class Stock {
  readonly #db: Database;
  readonly #onBooked: OnBooked;

  constructor(db: Database, onBooked: OnBooked) {
    this.#db = db;
    this.#onBooked = onBooked;
  }

  linesOf(move: Move): MoveLine[] {
    return this.#db.lines.where("move_id", move.id);
  }

  /** What a move has reserved, picked or done. */
  quantityOf(move: Move): number {
    return sum(this.linesOf(move).map((line) => line.quantity));
  }

  /** Sets the stock of one place, as an inventory count does. */
  count(product: number, location: number, lot: number | false, quantity: number): Quant {
    const quant = this.#quant(product, location, lot);
    this.#db.quants.update(quant, { quantity: round(quantity) }, true);
    return quant;
  }

  /** A line of a done move books stock at once, of any other move it reserves. */
  createLine(move: Move | undefined, values: NewLine): MoveLine {
    const db = this.#db;
    const line = db.lines.insert({
      move_id: move?.id ?? false,
      // over the API a line gets the picking only where it is given, or taken from its move
      picking_id: move?.picking_id ?? false,
      product_uom_id: move?.product_uom ?? db.products.get(values.product_id).uom_id,
      lot_name: false,
      location_id: move?.location_id ?? 0,
      location_dest_id: move?.location_dest_id ?? 0,
      date: db.transaction.now,
      consume_line_ids: [],
      produce_line_ids: [],
      ...values,
    });
    if (move?.state === "done") this.#book(line, move, line.quantity);
    else {
      this.#reserve(line, line.quantity);
      if (move) this.#refresh(move);
    }
    return line;
  }

  updateLine(line: MoveLine, patch: Partial<Omit<MoveLine, "id" | "create_date" | "write_date">>): void {
    const db = this.#db;
    const move = line.move_id === false ? undefined : db.moves.find(line.move_id);
    const moves = ["product_id", "lot_id", "quantity", "location_id", "location_dest_id"].some(
      (field) => field in patch && patch[field as keyof typeof patch] !== line[field as keyof MoveLine],
    );
    if (!moves) {
      db.lines.update(line, patch, true);
    } else if (move?.state === "done") {
      // a done line that is changed takes its booking back and books the new one
      this.#book(line, move, -line.quantity);
      db.lines.update(line, patch, true);
      this.#book(line, move, line.quantity);
    } else {
      this.#reserve(line, -line.quantity);
      db.lines.update(line, patch, true);
      this.#reserve(line, line.quantity);
    }
    if (move) this.#refresh(move);
  }

  removeLine(line: MoveLine): void {
    const move = line.move_id === false ? undefined : this.#db.moves.find(line.move_id);
    if (move?.state === "done")
      throw userError("You can not delete product moves if the picking is done. You can only correct the done quantities.");
    this.#reserve(line, -line.quantity);
    this.#db.lines.remove(line);
    if (move) this.#refresh(move);
  }

  /** `[5,0,0]`: the lines lose their move, but what they reserved stays reserved. The real system's trap. */
  orphanLines(move: Move): void {
    for (const line of this.linesOf(move)) this.#db.lines.update(line, { move_id: false });
    if (move.state !== "done") this.#refresh(move);
  }

  /** Reserves what is missing to the demand, oldest stock first; a move that waits for others takes only what they brought. */
  assign(move: Move): void {
    if (!isOpen(move.state) || move.state === "draft") return;
    let missing = round(move.product_uom_qty - this.quantityOf(move));
    for (const [lot, available] of this.#sources(move)) {
      if (missing <= 0) break;
      const take = round(Math.min(missing, available));
      if (take <= 0) continue;
      const line = this.linesOf(move).find((candidate) => candidate.lot_id === lot && !candidate.picked);
      if (line) this.updateLine(line, { quantity: round(line.quantity + take) });
      else this.createLine(move, { product_id: move.product_id, lot_id: lot, quantity: take, picked: false });
      missing = round(missing - take);
    }
    this.#refresh(move);
  }

  /** Scales a move to a quantity: existing lines first, then free stock, then a line without a lot for what is not there. */
  setQuantity(move: Move, quantity: number): void {
    let left = round(quantity);
    for (const line of this.linesOf(move)) {
      if (left <= 0) {
        this.removeLine(line);
      } else if (line.quantity > left) {
        this.updateLine(line, { quantity: left });
        left = 0;
      } else {
        left = round(left - line.quantity);
        const more = Math.min(left, Math.max(0, this.#free(line.product_id, line.location_id, line.lot_id)));
        if (more > 0) this.updateLine(line, { quantity: round(line.quantity + more) });
        left = round(left - more);
      }
    }
    for (const quant of this.#shelf(move)) {
      const take = round(Math.min(left, quant.quantity - quant.reserved_quantity));
      if (take <= 0) continue;
      this.createLine(move, { product_id: move.product_id, lot_id: quant.lot_id, quantity: take, picked: false });
      left = round(left - take);
    }
    if (left > 0) {
      const loose = this.linesOf(move).find((line) => line.lot_id === false);
      if (loose) this.updateLine(loose, { quantity: round(loose.quantity + left) });
      else this.createLine(move, { product_id: move.product_id, lot_id: false, quantity: left, picked: false });
    }
    this.#refresh(move);
  }

  setPicked(move: Move, picked: boolean): void {
    for (const line of this.linesOf(move)) if (line.picked !== picked) this.#db.lines.update(line, { picked });
    this.#db.moves.update(move, { picked });
  }

  cancel(move: Move): void {
    for (const line of this.linesOf(move)) this.removeLine(line);
    this.#db.moves.update(move, { state: "cancel" });
  }

  /** Books the picked lines of a move and drops the others. The caller has split off what is left. */
  finish(move: Move): void {
    const db = this.#db;
    for (const line of this.linesOf(move)) if (!line.picked) this.removeLine(line);
    const lines = this.linesOf(move);
    for (const line of lines) {
      const product = db.products.get(line.product_id);
      if (product.tracking === "none" || line.lot_id !== false || line.quantity === 0) continue;
      if (line.lot_name === false) {
        throw userError(
          `You need to supply a Lot/Serial Number for product:\n${product.default_code === false ? product.name : product.default_code}`,
        );
      }
      this.updateLine(line, { lot_id: this.lot(line.product_id, line.lot_name) });
    }
    for (const line of lines) this.#reserve(line, -line.quantity);
    db.moves.update(move, { state: "done", date: db.transaction.now });
    for (const line of lines) {
      db.lines.update(line, { date: db.transaction.now }, true);
      this.#book(line, move, line.quantity);
    }
    // the surplus is demand too, in the end
    const done = this.quantityOf(move);
    if (done > move.product_uom_qty) db.moves.update(move, { product_uom_qty: done });
    for (const id of move.move_dest_ids) {
      const next = db.moves.find(id);
      if (next) this.assign(next);
    }
  }

  /** The lot of this name, made when it is not there. */
  lot(product: number, name: string): number {
    const found = this.#db.lots.where("identity", `${product}/${name}`)[0];
    return found?.id ?? this.#db.lots.insert({ name, product_id: product, ref: false, note: false }).id;
  }

  /** Quantity in a place that no line has reserved. */
  #free(product: number, location: number, lot: number | false): number {
    const quant = this.#db.quants.where("spot", spotOf(product, location, lot))[0];
    return quant ? round(quant.quantity - quant.reserved_quantity) : 0;
  }

  #shelf(move: Move): Quant[] {
    if (!this.#tracks(move.location_id)) return [];
    return this.#db.quants
      .where("shelf", `${move.product_id}/${move.location_id}`)
      .sort((a, b) => a.in_date - b.in_date || a.id - b.id);
  }

  #sources(move: Move): (readonly [lot: number | false, available: number])[] {
    const db = this.#db;
    if (!this.#tracks(move.location_id)) return [[false, Number.POSITIVE_INFINITY]];
    const free = this.#shelf(move).map((quant) => [quant.lot_id, round(quant.quantity - quant.reserved_quantity)] as const);
    if (move.move_orig_ids.length === 0) return free;
    const brought = new Map<number | false, number>();
    const siblings = new Set<number>();
    for (const id of move.move_orig_ids) {
      const before = db.moves.find(id);
      if (!before) continue;
      for (const dest of before.move_dest_ids) siblings.add(dest);
      if (before.state !== "done") continue;
      for (const line of this.linesOf(before)) {
        if (line.location_dest_id === move.location_id) brought.set(line.lot_id, (brought.get(line.lot_id) ?? 0) + line.quantity);
      }
    }
    for (const id of siblings) {
      const sibling = db.moves.find(id);
      if (!sibling) continue;
      for (const line of this.linesOf(sibling)) brought.set(line.lot_id, (brought.get(line.lot_id) ?? 0) - line.quantity);
    }
    return free.map(([lot, available]) => [lot, Math.min(available, round(brought.get(lot) ?? 0))] as const);
  }

  /** Only stock of one's own is kept as quants: what is in production or lost has none here. */
  #tracks(location: number): boolean {
    return this.#db.locations.find(location)?.usage === "internal";
  }

  #quant(product: number, location: number, lot: number | false): Quant {
    const db = this.#db;
    return (
      db.quants.where("spot", spotOf(product, location, lot))[0] ??
      db.quants.insert({
        product_id: product,
        location_id: location,
        lot_id: lot,
        quantity: 0,
        reserved_quantity: 0,
        in_date: db.transaction.now,
      })
    );
  }

  #reserve(line: MoveLine, quantity: number): void {
    if (quantity === 0 || !this.#tracks(line.location_id)) return;
    const quant = this.#quant(line.product_id, line.location_id, line.lot_id);
    this.#db.quants.update(quant, { reserved_quantity: round(quant.reserved_quantity + quantity) });
  }

  #book(line: MoveLine, move: Move, quantity: number): void {
    this.#change(line.location_id, line, -quantity);
    this.#change(line.location_dest_id, line, quantity);
    if (quantity !== 0) this.#onBooked(line, move, quantity);
    if (quantity > 0) this.#freeReservation(line);
  }

  #change(location: number, line: MoveLine, quantity: number): void {
    if (!this.#tracks(location) || quantity === 0) return;
    const quant = this.#quant(line.product_id, location, line.lot_id);
    this.#db.quants.update(quant, { quantity: round(quant.quantity + quantity) });
  }

  /** Stock that was taken although another move had reserved it: that move gives way and looks for other stock. */
  #freeReservation(taken: MoveLine): void {
    let over = -this.#free(taken.product_id, taken.location_id, taken.lot_id);
    if (over <= 0 || !this.#tracks(taken.location_id)) return;
    const db = this.#db;
    const again = new Set<Move>();
    for (const line of db.lines.where("spot", spotOf(taken.product_id, taken.location_id, taken.lot_id)).reverse()) {
      if (over <= 0) break;
      const move = line.move_id === false ? undefined : db.moves.find(line.move_id);
      if (!move || line.picked || move.state === "done" || move.state === "cancel") continue;
      const give = round(Math.min(over, line.quantity));
      if (give === line.quantity) this.removeLine(line);
      else this.updateLine(line, { quantity: round(line.quantity - give) });
      over = round(over - give);
      again.add(move);
    }
    for (const move of again) this.assign(move);
  }

  /** Whether a move is picked, and its state where it is neither draft nor at its end, follow from its lines. */
  #refresh(move: Move): void {
    if (!isOpen(move.state)) return;
    this.#db.moves.update(move, { picked: this.linesOf(move).some((line) => line.picked) });
    if (move.state === "draft") return;
    const quantity = this.quantityOf(move);
    const waits = move.move_orig_ids.some((id) => {
      const state = this.#db.moves.find(id)?.state;
      return state !== undefined && state !== "done" && state !== "cancel";
    });
    const state =
      quantity >= move.product_uom_qty && quantity > 0
        ? "assigned"
        : quantity > 0
          ? "partially_available"
          : waits
            ? "waiting"
            : "confirmed";
    this.#db.moves.update(move, { state });
  }
}
