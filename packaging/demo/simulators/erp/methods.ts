import { z } from "zod";
import type { Closing } from "./closing.ts";
import type { Database, Picking, Production, Scrap } from "./database.ts";
import { accessError, missingError, notFound, unprocessable } from "./fault.ts";
import { type Context, cancelPicking, confirmPicking, movesOf, refreshPicking, validatePicking } from "./picking.ts";
import type { Manufacturing } from "./production.ts";
import { type Domain, search, tableOf } from "./query.ts";
import { readRows, readSpecified } from "./read.ts";
import { modelOf } from "./schema.ts";
import { validateScrap } from "./scrap.ts";
import type { Stock } from "./stock.ts";
import type { Row } from "./table.ts";
import { idsOf, type Values, type Writer } from "./write.ts";

export interface Machinery {
  readonly db: Database;
  readonly stock: Stock;
  readonly manufacturing: Manufacturing;
  readonly closing: Closing;
  readonly writer: Writer;
  onConfirmed(order: Production): void;
}
export type Body = Readonly<Record<string, unknown>>;
interface Call extends Machinery {
  readonly model: string;
  readonly body: Body;
  readonly context: Context;
}
/** `record`: works on `ids`; without any it does nothing and answers true. */
interface Method {
  readonly kind: "model" | "record";
  readonly args: readonly string[];
  readonly required?: readonly string[];
  run(call: Call): unknown;
}

const texts = z.array(z.string());
const query = ["domain", "fields", "offset", "limit", "order"] as const;

/** The calls of every model. */
const common: Readonly<Record<string, Method>> = {
  search_read: {
    kind: "model",
    args: [...query, "load"],
    run: (call) => readRows(call.db, call.model, found(call), fieldsOf(call.body), call.body.load),
  },
  search: {
    kind: "model",
    args: ["domain", "offset", "limit", "order"],
    required: ["domain"],
    run: (call) => found(call).map((row) => row.id),
  },
  search_count: { kind: "model", args: ["domain", "limit"], required: ["domain"], run: (call) => found(call).length },
  web_search_read: {
    kind: "model",
    args: ["domain", "specification", "offset", "limit", "order", "count_limit"],
    required: ["domain", "specification"],
    run: (call) => {
      const rows = found(call);
      const specification = call.body.specification as Record<string, unknown>;
      return { length: rows.length, records: rows.map((row) => readSpecified(call.db, call.model, row, specification)) };
    },
  },
  // what is gone is just absent
  read: {
    kind: "record",
    args: ["fields", "load"],
    run: (call) => readRows(call.db, call.model, present(call), fieldsOf(call.body), call.body.load),
  },
  create: {
    kind: "model",
    args: ["vals_list"],
    required: ["vals_list"],
    run: (call) => {
      const given = call.body.vals_list;
      const list = (Array.isArray(given) ? given : [given]) as Values[];
      return list.map((values) => call.writer.create(call.model, values, call.context));
    },
  },
  write: {
    kind: "record",
    args: ["vals"],
    required: ["vals"],
    run: (call) => {
      for (const row of rowsOf(call)) call.writer.write(call.model, row, call.body.vals as Values, call.context);
      return true;
    },
  },
  unlink: {
    kind: "record",
    args: [],
    run: (call) => {
      for (const row of rowsOf(call)) call.writer.unlink(call.model, row);
      return true;
    },
  },
};

const post: Method = {
  kind: "record",
  args: [
    "body",
    "subject",
    "message_type",
    "subtype_xmlid",
    "message_id",
    "parent_id",
    "attachment_ids",
    "partner_ids",
    "body_is_html",
  ],
  run: (call) => {
    const { body, message_id: messageId, message_type: messageType } = call.body;
    return rowsOf(call).map((row) =>
      call.writer.post(call.model, row.id, typeof body === "string" ? body : "", {
        messageType: typeof messageType === "string" ? messageType : "notification",
        messageId: typeof messageId === "string" ? messageId : undefined,
      }),
    );
  },
};

/** The buttons. */
const own: Readonly<Record<string, Readonly<Record<string, Method>>>> = {
  "mrp.production": {
    message_post: post,
    action_confirm: button<Production>((order, call) => {
      if (order.state !== "draft") return;
      call.manufacturing.confirm(order);
      call.onConfirmed(order);
    }),
    action_assign: button<Production>((order, call) => call.manufacturing.assign(order)),
    action_cancel: button<Production>((order, call) => call.manufacturing.cancel(order)),
    set_qty_producing: button<Production>((order, call) => {
      call.closing.setQtyProducing(order);
      return null;
    }),
    button_mark_done: button<Production>((order, call) => call.closing.markDone(order, call.context)),
  },
  "stock.picking": {
    message_post: post,
    action_confirm: button<Picking>((picking, call) => confirmPicking(call.db, call.stock, picking)),
    action_assign: button<Picking>((picking, call) => {
      for (const move of movesOf(call.db, picking)) call.stock.assign(move);
      refreshPicking(call.db, picking);
    }),
    action_cancel: button<Picking>((picking, call) => cancelPicking(call.db, call.stock, picking)),
    button_validate: button<Picking>((picking, call) => validatePicking(call.db, call.stock, picking, call.context)),
  },
  "stock.scrap": {
    message_post: post,
    action_validate: button<Scrap>((scrap, call) => validateScrap(call.db, call.stock, scrap)),
  },
  "res.users": { context_get: { kind: "model", args: [], run: () => ({ lang: "en_US", tz: false, uid: 5 }) } },
  "decimal.precision": {
    precision_get: { kind: "model", args: ["application"], required: ["application"], run: () => 2 },
    ...Object.fromEntries(
      ["search_read", "search", "read", "write", "create"].map((name) => [
        name,
        administratorsOnly("Decimal Precision", "decimal.precision"),
      ]),
    ),
  },
  "ir.model.fields": Object.fromEntries(
    ["search_read", "search", "read", "write", "create"].map((name) => [name, administratorsOnly("Fields", "ir.model.fields")]),
  ),
};

/**
 * Runs one call; what it does is taken back by the caller when it throws.
 * @throws ErpFault as Odoo would answer
 */
export function runMethod(machinery: Machinery, model: string, name: string, body: Body): unknown {
  if (name.startsWith("_")) throw accessError(`Private methods (such as '${model}.${name}') cannot be called remotely.`);
  const special = own[model];
  const known = special && Object.hasOwn(special, name) ? special[name] : undefined;
  if (!special) modelOf(model);
  const method = known ?? (Object.hasOwn(common, name) ? common[name] : undefined);
  if (!method) throw notFound(`The method '${model}.${name}' does not exist`);
  if (!known) modelOf(model);
  for (const key of Object.keys(body)) {
    if (key === "context" || (key === "ids" && method.kind === "record")) continue;
    if (key === "ids") throw unprocessable(`cannot call ${model}.${name} with ids`);
    if (!method.args.includes(key)) throw unprocessable(`got an unexpected keyword argument '${key}'`);
  }
  for (const key of method.required ?? []) if (!(key in body)) throw unprocessable(`missing a required argument: '${key}'`);
  const context = typeof body.context === "object" && body.context !== null ? (body.context as Context) : {};
  return method.run({ ...machinery, model, body, context });
}

/** A method of records that answers for its last one; nothing returned means true. */
function button<R extends Row>(press: (row: R, call: Call) => unknown): Method {
  return {
    kind: "record",
    args: [],
    run: (call) => {
      let answer: unknown = true;
      for (const row of rowsOf(call)) {
        const own = press(row as R, call);
        answer = own === undefined ? true : own;
      }
      return answer;
    },
  };
}

function administratorsOnly(title: string, model: string): Method {
  return {
    kind: "model",
    args: [...query, "load", "ids", "vals", "vals_list"],
    run: () => {
      throw accessError(
        `You are not allowed to access '${title}' (${model}) records.\n\nThis operation is allowed for the following groups:\n\t- Role / Administrator`,
      );
    },
  };
}

function found(call: Call): Row[] {
  const { domain, order, limit, offset } = call.body;
  return search(call.db, call.model, Array.isArray(domain) ? (domain as Domain) : [], {
    order: typeof order === "string" ? order : undefined,
    limit: typeof limit === "number" ? limit : undefined,
    offset: typeof offset === "number" ? offset : undefined,
    withArchived: call.context.active_test === false,
  });
}

function rowsOf(call: Call): Row[] {
  const table = tableOf(call.db, call.model);
  return idsOf(call.body.ids).map((id) => {
    const row = table.find(id);
    if (!row) throw missingError(call.model, id);
    return row;
  });
}

function present(call: Call): Row[] {
  const table = tableOf(call.db, call.model);
  return idsOf(call.body.ids).flatMap((id) => table.find(id) ?? []);
}

function fieldsOf(body: Body): string[] | undefined {
  if (body.fields === undefined || body.fields === null) return undefined;
  const parsed = texts.safeParse(body.fields);
  if (!parsed.success) throw unprocessable("fields must be a list of names");
  return parsed.data;
}
