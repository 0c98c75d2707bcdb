import type { Closing } from "./closing.ts";
import { insertRow } from "./create.ts";
import type { Database, Move, MoveLine, Production, Quant } from "./database.ts";
import { accessError, unprocessable, userError, valueError } from "./fault.ts";
import { type Context, refreshPicking } from "./picking.ts";
import { finishedMovesOf, type Manufacturing, rawMovesOf } from "./production.ts";
import { childrenOf, tableOf } from "./query.ts";
import { toStored } from "./read.ts";
import { findField } from "./schema.ts";
import { isOpen, type Stock } from "./stock.ts";
import type { Row, Value } from "./table.ts";

export type Values = Readonly<Record<string, unknown>>;

export interface WriterDeps {
  readonly db: Database;
  readonly stock: Stock;
  readonly manufacturing: Manufacturing;
  readonly closing: Closing;
  /** Told of each note in a chatter. */
  onNote(model: string, record: number, messageId: string): void;
}

/** `create`, `write` and `unlink` with x2many commands: values that stock follows go through `Stock` and `Manufacturing`. */
export class Writer {
  readonly #deps: WriterDeps;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  create(model: string, values: Values, context: Context): number {
    for (const name of Object.keys(values))
      if (!findField(model, name)) throw valueError(`Invalid field '${name}' in '${model}'`);
    const row = insertRow(this.#deps, model, values, context);
    this.#runCommands(model, row, values, context);
    this.#afterWrite(model, row, values);
    return row.id;
  }

  write(model: string, row: Row, values: Values, context: Context): void {
    const { db, stock } = this.#deps;
    for (const name of Object.keys(values))
      if (!findField(model, name)) throw valueError(`Invalid field '${name}' in '${model}'`);
    const patch: Record<string, Value> = {};
    for (const [name, value] of Object.entries(values)) {
      const field = findField(model, name);
      if (!field || field.compute || field.kind === "one2many" || field.kind === "many2many") continue;
      patch[name] = toStored(db, model, name, value);
    }
    if (model === "stock.move.line") {
      stock.updateLine(row as MoveLine, patch as Partial<MoveLine>);
    } else {
      tableOf(db, model).update(row, patch as Partial<Omit<Row, keyof Row>>, true);
    }
    if (model === "stock.quant") this.#countQuant(row as Quant, values, context);
    this.#runCommands(model, row, values, context);
    if (model === "stock.move") this.#writeMove(row as Move, values);
    this.#afterWrite(model, row, values);
  }

  unlink(model: string, row: Row): void {
    const { db, stock } = this.#deps;
    if (model === "stock.quant") throw accessError("You are not allowed to delete 'Quants' (stock.quant) records.");
    if (model === "stock.move.line") {
      stock.removeLine(row as MoveLine);
      return;
    }
    if (model === "mrp.production") {
      const order = row as Production;
      if (order.state !== "draft" && order.state !== "cancel")
        throw userError("You can only delete draft or cancelled manufacturing orders.");
      for (const move of [...rawMovesOf(db, order), ...finishedMovesOf(db, order)]) db.moves.remove(move);
    }
    tableOf(db, model).remove(row);
  }

  /** `message_post`: text is escaped and becomes a paragraph. */
  post(model: string, record: number, body: string, details: { messageType: string; messageId?: string | undefined }): number {
    const { db } = this.#deps;
    const escaped = body.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const messageId = details.messageId ?? `<${crypto.randomUUID()}@erp-simulator>`;
    const message = db.messages.insert({
      model,
      res_id: record,
      body: `<p>${escaped}</p>`,
      message_type: details.messageType,
      message_id: messageId,
      is_internal: false,
      date: db.transaction.now,
    });
    this.#deps.onNote(model, record, messageId);
    return message.id;
  }

  #runCommands(model: string, row: Row, values: Values, context: Context): void {
    for (const [name, commands] of Object.entries(values)) {
      const field = findField(model, name);
      if (!field || (field.kind !== "one2many" && field.kind !== "many2many")) continue;
      if (!Array.isArray(commands)) throw valueError(`Wrong value for ${model}.${name}: ${JSON.stringify(commands)}`);
      for (const command of commands) {
        if (!Array.isArray(command)) throw valueError(`Wrong value for ${model}.${name}: ${JSON.stringify(command)}`);
        if (field.kind === "one2many")
          this.#childCommand(model, row, { name, relation: field.relation, inverse: field.inverse }, command, context);
        else this.#linkCommand(model, row, name, field.relation, command, context);
      }
    }
  }

  #childCommand(
    model: string,
    row: Row,
    field: { name: string; relation: string; inverse: string },
    command: readonly unknown[],
    context: Context,
  ): void {
    const { db, stock } = this.#deps;
    const [code, id, vals] = command as [unknown, unknown, unknown];
    const table = tableOf(db, field.relation);
    if (code === 0) {
      const owner = field.relation === "mail.message" ? { model, res_id: row.id } : { [field.inverse]: row.id };
      this.create(field.relation, { ...(vals as Values), ...owner }, context);
    } else if (code === 1) {
      this.write(field.relation, table.get(Number(id)), vals as Values, context);
    } else if (code === 2) {
      this.unlink(field.relation, table.get(Number(id)));
    } else if (code === 5 && field.relation === "stock.move.line") {
      if (model === "stock.move") stock.orphanLines(row as Move);
    } else if (code === 5) {
      for (const child of childrenOf(db, model, row, { kind: "one2many", ...field })) this.unlink(field.relation, child);
    } else if (code !== 4) {
      throw valueError(`Wrong value for ${model}.${field.name}: ${JSON.stringify(command)}`);
    }
  }

  #linkCommand(model: string, row: Row, name: string, relation: string, command: readonly unknown[], context: Context): void {
    const { db } = this.#deps;
    const [code, id, vals] = command as [unknown, unknown, unknown];
    const held = (row as unknown as Record<string, readonly number[]>)[name] ?? [];
    const set = (linked: readonly number[]): void =>
      tableOf(db, model).update(row, { [name]: linked } as Partial<Omit<Row, keyof Row>>);
    if (code === 0) set([...held, this.create(relation, vals as Values, context)]);
    else if (code === 1) this.write(relation, tableOf(db, relation).get(Number(id)), vals as Values, context);
    else if (code === 2 || code === 3) set(held.filter((other) => other !== id));
    else if (code === 4) set([...new Set([...held, tableOf(db, relation).get(Number(id)).id])]);
    else if (code === 5) set([]);
    else if (code === 6 && Array.isArray(vals)) set(vals.map((other) => tableOf(db, relation).get(Number(other)).id));
    else throw valueError(`Wrong value for ${model}.${name}: ${JSON.stringify(command)}`);
  }

  #writeMove(move: Move, values: Values): void {
    const { stock } = this.#deps;
    if (typeof values.quantity === "number") stock.setQuantity(move, values.quantity);
    if (typeof values.picked === "boolean") stock.setPicked(move, values.picked);
    if (typeof values.product_uom_qty === "number") this.#changeDemand(move);
  }

  /** A component's new demand reaches its open pick, but not the order's `write_date`. */
  #changeDemand(move: Move): void {
    const { db, stock } = this.#deps;
    for (const id of move.move_orig_ids) {
      const before = db.moves.find(id);
      if (!before || !isOpen(before.state)) continue;
      db.moves.update(before, { product_uom_qty: move.product_uom_qty });
      stock.assign(before);
    }
  }

  #countQuant(quant: Quant, values: Values, context: Context): void {
    const { stock } = this.#deps;
    // without inventory_mode the write is taken and does nothing
    if (!context.inventory_mode || values.inventory_quantity_auto_apply === undefined) return;
    stock.count(quant.product_id, quant.location_id, quant.lot_id, Number(values.inventory_quantity_auto_apply));
  }

  #afterWrite(model: string, row: Row, values: Values): void {
    const { db, manufacturing, closing } = this.#deps;
    if (model === "mrp.production") {
      const order = row as Production;
      if (order.state === "done" && "qty_producing" in values) closing.correctFinished(order);
      manufacturing.refresh(order);
    }
    if (model === "stock.move" || model === "stock.move.line") {
      const moveId = model === "stock.move" ? row.id : (row as MoveLine).move_id;
      const move = moveId === false ? undefined : db.moves.find(moveId);
      const production =
        move && move.raw_material_production_id !== false ? db.productions.find(move.raw_material_production_id) : undefined;
      if (production) manufacturing.refresh(production);
      const picking = move && move.picking_id !== false ? db.pickings.find(move.picking_id) : undefined;
      if (picking) refreshPicking(db, picking);
    }
  }
}

/** `ids` of a body: an int or a list; strings in it match nothing, silently. */
export function idsOf(value: unknown): number[] {
  if (value === undefined || value === null) return [];
  if (typeof value === "number") return [value];
  if (Array.isArray(value)) return value.filter((id): id is number => typeof id === "number");
  throw unprocessable("ids must be a list of ids");
}
