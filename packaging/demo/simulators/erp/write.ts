import type { Database, Lot, Move, MoveLine, Production, Quant } from "./database.ts";
import { accessError, ErpFault, unprocessable, userError, validationError, valueError } from "./fault.ts";
import { type Context, isOpen, refreshPicking } from "./picking.ts";
import { bomOf, finishedMovesOf, type Manufacturing, rawMovesOf } from "./production.ts";
import { childrenOf, tableOf } from "./query.ts";
import { toStored } from "./read.ts";
import { findField } from "./schema.ts";
import type { Stock } from "./stock.ts";
import type { Row, Value } from "./table.ts";

export type Values = Readonly<Record<string, unknown>>;

export interface WriterDeps {
  readonly db: Database;
  readonly stock: Stock;
  readonly manufacturing: Manufacturing;
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
    const row = this.#insert(model, values, context);
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

  #insert(model: string, values: Values, context: Context): Row {
    const { db, stock, manufacturing } = this.#deps;
    const given: Record<string, Value> = {};
    for (const [name, value] of Object.entries(values)) {
      const field = findField(model, name);
      if (field && !field.compute && field.kind !== "one2many" && field.kind !== "many2many")
        given[name] = toStored(db, model, name, value);
    }
    const id = (name: string): number => {
      const value = given[name];
      if (typeof value !== "number")
        throw validationError(`The operation cannot be completed: Missing required value for the field '${name}' (${model})`);
      return value;
    };
    const text = (name: string): string | false => (typeof given[name] === "string" ? (given[name] as string) : false);
    switch (model) {
      case "product.product": {
        const template = db.templates.insert({ name: text("name") || "", default_code: text("default_code") });
        const defaults = {
          name: "",
          default_code: false,
          barcode: false,
          type: "consu",
          is_storable: false,
          tracking: "none",
          uom_id: 1,
          active: true,
        } as const;
        return db.products.insert({ ...defaults, ...given, product_tmpl_id: template.id });
      }
      case "mrp.workcenter":
        return db.workcenters.insert({ name: "", code: false, ...given });
      case "mrp.bom":
        return db.boms.insert({
          product_qty: 1,
          product_uom_id: 1,
          code: false,
          type: "normal",
          consumption: "warning",
          ...given,
          product_tmpl_id: id("product_tmpl_id"),
        });
      case "mrp.bom.line":
        return db.bomLines.insert({
          product_qty: 1,
          operation_id: false,
          sequence: 1,
          product_uom_id: db.products.get(id("product_id")).uom_id,
          ...given,
          bom_id: id("bom_id"),
          product_id: id("product_id"),
        });
      case "mrp.routing.workcenter":
        return db.operations.insert({
          name: "",
          time_cycle_manual: 60,
          sequence: 100,
          ...given,
          bom_id: id("bom_id"),
          workcenter_id: id("workcenter_id"),
        });
      case "stock.lot":
        return this.#createLot(id("product_id"), text("name"), text("ref"), text("note"));
      case "mrp.production": {
        const product = id("product_id");
        return manufacturing.create({
          product,
          quantity: typeof given.product_qty === "number" ? given.product_qty : 1,
          bom: typeof given.bom_id === "number" ? given.bom_id : bomOf(db, product),
          pickingType: typeof given.picking_type_id === "number" ? given.picking_type_id : this.#firstManufacturing(),
          origin: text("origin"),
          priority: given.priority === "1" ? "1" : "0",
          dateStart: typeof given.date_start === "number" ? given.date_start : db.transaction.now,
          deadline: typeof given.date_deadline === "number" ? given.date_deadline : false,
        });
      }
      case "stock.scrap": {
        const product = db.products.get(id("product_id"));
        const losses = [...db.locations.all()].find((location) => location.usage === "inventory");
        return db.scraps.insert({
          name: "New",
          state: "draft",
          product_uom_id: product.uom_id,
          lot_id: false,
          production_id: false,
          workorder_id: false,
          picking_id: false,
          origin: false,
          date_done: false,
          should_replenish: false,
          scrap_location_id: losses?.id ?? 0,
          scrap_qty: 1,
          ...given,
          product_id: product.id,
          location_id: id("location_id"),
        });
      }
      case "stock.quant": {
        const lot = typeof given.lot_id === "number" ? given.lot_id : false;
        if (!context.inventory_mode) throw accessError("You are not allowed to create 'Quants' (stock.quant) records.");
        return stock.count(id("product_id"), id("location_id"), lot, Number(values.inventory_quantity_auto_apply ?? 0));
      }
      case "stock.move.line": {
        const move = typeof given.move_id === "number" ? db.moves.get(given.move_id) : undefined;
        // a line that names no picking gets none, unlike its siblings
        return stock.createLine(move, {
          lot_id: false,
          quantity: 0,
          picked: false,
          picking_id: false,
          ...given,
          product_id: id("product_id"),
        });
      }
      case "mail.message": {
        const message = db.messages.insert({
          model: "",
          res_id: 0,
          body: "",
          message_type: "comment",
          message_id: `<${crypto.randomUUID()}@erp-simulator>`,
          is_internal: false,
          date: db.transaction.now,
          ...given,
        });
        this.#deps.onNote(message.model, message.res_id, message.message_id);
        return message;
      }
      default:
        throw accessError(`You are not allowed to create records of '${model}'.`);
    }
  }

  #createLot(product: number, name: string | false, ref: string | false, note: string | false): Lot {
    const { db } = this.#deps;
    const lotName = name === false ? db.next("lot").padStart(7, "0") : name;
    if (db.lots.where("identity", `${product}/${lotName}`).length > 0) {
      throw validationError(
        `The combination of lot/serial number and product must be unique within a company including when no company is defined.\nThe following combinations contain duplicates:\n - Product: ${db.products.get(product).name}, Lot/Serial Number: ${lotName}`,
      );
    }
    return db.lots.insert({ name: lotName, product_id: product, ref, note });
  }

  #firstManufacturing(): number {
    for (const warehouse of this.#deps.db.warehouses.all()) return warehouse.manu_type_id;
    throw new ErpFault(500, "builtins.ValueError", "Expected singleton: stock.warehouse()");
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
    const { db, manufacturing } = this.#deps;
    if (model === "mrp.production") {
      const order = row as Production;
      if (order.state === "done" && "qty_producing" in values) manufacturing.correctFinished(order);
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
