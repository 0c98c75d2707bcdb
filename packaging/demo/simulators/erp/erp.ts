import { randomBytes, timingSafeEqual } from "node:crypto";
import type { AddressInfo } from "node:net";
import { type HttpBindings, serve } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { errorBody, wrongDatabasePage, wrongMediaTypePage } from "./answer.ts";
import { Closing } from "./closing.ts";
import { Database, type Production } from "./database.ts";
import { ErpFault, notFound } from "./fault.ts";
import { Journal, type JournalEntry } from "./journal.ts";
import { type Body, type Machinery, runMethod } from "./methods.ts";
import { demoPlant, type Plant, seed } from "./plant.ts";
import { bomOf, Manufacturing } from "./production.ts";
import { Recorder } from "./recorder.ts";
import { Stock } from "./stock.ts";
import { Writer } from "./write.ts";

export interface ErpOptions {
  /** 0 or absent: any free port. Always on 127.0.0.1. */
  readonly port?: number;
  readonly database?: string;
  /** Made up when absent. */
  readonly apiKey?: string;
  /** Site name in canonical ids: `hq` makes `hq-mo-42`. */
  readonly erp?: string;
  /** Where releases and booked effects are appended; absent: `journal` keeps them. */
  readonly logFile?: string;
  readonly plant?: Plant;
}

export interface NewOrder {
  /** Code of the warehouse. */
  readonly plant: string;
  readonly item: string;
  readonly quantity: number;
  readonly needBy?: Date;
  readonly priority?: "0" | "1";
  readonly origin?: string;
}

/** An answer that is lost: the call is carried out and committed, then the connection is cut. */
export interface DropAnswer {
  readonly model: string;
  readonly method: string;
  /** Counted from now on; 1 is the next one. */
  readonly nth?: number;
}

export interface Erp {
  readonly url: string;
  readonly port: number;
  readonly apiKey: string;
  readonly database: string;
  /** Creates and confirms an order, as a planner does. */
  createOrder(order: NewOrder): { readonly id: number; readonly moId: string; readonly name: string };
  /** Changes an open order's quantity, with its components and open picks. */
  changeQuantity(id: number, quantity: number): void;
  dropAnswer(drop: DropAnswer): void;
  /** Entries of this run, where no file was named. */
  journal(): readonly JournalEntry[];
  /** Writes what is booked to the file now. */
  flush(): void;
  /** Ends connections and flushes the journal. Safe to call twice. */
  stop(): Promise<void>;
}

/** Starts a simulated ERP that speaks Odoo 19's JSON-2: one process, all in memory, one transaction a call. */
export async function startErp(options: ErpOptions = {}): Promise<Erp> {
  const apiKey = options.apiKey ?? randomBytes(20).toString("hex");
  const database = options.database ?? "plant";
  const db = new Database();
  const journal = new Journal(options.logFile);
  const recorder = new Recorder(db, journal, options.erp ?? "hq");
  const stock = new Stock(db, (line, move, quantity) => recorder.booked(line, move, quantity));
  const manufacturing = new Manufacturing(db, stock);
  const closing = new Closing(db, stock, manufacturing);
  const writer = new Writer({
    db,
    stock,
    manufacturing,
    closing,
    onNote: (model, record, messageId) => recorder.noted(model, record, messageId),
  });
  const revisions = new Map<number, number>();
  const drops: { readonly model: string; readonly method: string; left: number }[] = [];

  const released = (order: Production): void => {
    const revision = (revisions.get(order.id) ?? 0) + 1;
    revisions.set(order.id, revision);
    recorder.released(order, revision);
  };
  const machinery: Machinery = { db, stock, manufacturing, closing, writer, onConfirmed: released };

  /** All that `work` does, or nothing of it. It runs without a pause, so transactions never meet. */
  const transact = <T>(work: () => T): T => {
    db.transaction.now = Date.now();
    db.transaction.undo = [];
    try {
      const result = work();
      recorder.commit();
      return result;
    } catch (error) {
      for (const undo of db.transaction.undo.reverse()) undo();
      recorder.rollback();
      throw error;
    } finally {
      db.transaction.undo = [];
    }
  };
  transact(() => seed(db, stock, options.plant ?? demoPlant));

  const app = new Hono<{ Bindings: HttpBindings }>();
  app.get("/web/version", (c) => c.json({ version_info: [19, 0, 0, "final", 0, ""], version: "19.0" }));
  app.get("/web/health", (c) => c.json({ status: "pass" }));
  app.all("/json/2/*", async (c) => {
    c.header("Connection", "close");
    const text = await c.req.text();
    if (c.req.header("x-odoo-database") !== undefined && c.req.header("x-odoo-database") !== database)
      return c.html(wrongDatabasePage, 404);
    try {
      if (!isKey(c.req.header("authorization"), apiKey))
        throw new ErpFault(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey");
      const [model, method, ...more] = new URL(c.req.url).pathname.slice("/json/2/".length).split("/").map(decodeURIComponent);
      if (c.req.method !== "POST" || !model || !method || more.length > 0)
        throw notFound("Did you mean POST /json/2/<model>/<method>?");
      if (!/^application\/json\b/i.test(c.req.header("content-type") ?? "")) return c.html(wrongMediaTypePage, 415);
      const body = parseBody(text);
      const answer = transact(() => runMethod(machinery, model, method, body));
      if (isDropped(drops, model, method)) {
        c.env.outgoing.socket?.destroy();
        return RESPONSE_ALREADY_SENT;
      }
      return c.body(JSON.stringify(answer ?? null), 200, { "Content-Type": "application/json; charset=utf-8" });
    } catch (error) {
      const fault =
        error instanceof ErpFault
          ? error
          : new ErpFault(500, "builtins.RuntimeError", error instanceof Error ? error.message : String(error));
      if (fault.status === 401) c.header("WWW-Authenticate", "Bearer");
      return c.body(JSON.stringify(errorBody(fault)), fault.status, { "Content-Type": "application/json; charset=utf-8" });
    }
  });

  const server = await new Promise<ReturnType<typeof serve>>((resolve, reject) => {
    const opening = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: options.port ?? 0 }, () => resolve(opening));
    opening.once("error", reject);
  });
  const { port } = server.address() as AddressInfo;
  let stopped: Promise<void> | undefined;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    apiKey,
    database,
    createOrder: (order) =>
      transact(() => {
        const warehouse = db.warehouses.where("code", order.plant)[0];
        const product = db.products.where("default_code", order.item)[0];
        if (!warehouse || !product) throw notFound(`no warehouse ${order.plant} or no product ${order.item}`);
        const production = manufacturing.create({
          product: product.id,
          quantity: order.quantity,
          bom: bomOf(db, product.id),
          pickingType: warehouse.manu_type_id,
          origin: order.origin ?? false,
          priority: order.priority ?? "0",
          dateStart: db.transaction.now,
          deadline: order.needBy?.getTime() ?? false,
        });
        manufacturing.confirm(production);
        released(production);
        return { id: production.id, moId: recorder.moIdOf(production), name: production.name };
      }),
    changeQuantity: (id, quantity) =>
      transact(() => {
        const order = db.productions.get(id);
        manufacturing.changeQuantity(order, quantity);
        released(order);
      }),
    dropAnswer: ({ model, method, nth = 1 }) => {
      drops.push({ model, method, left: nth });
    },
    journal: () => journal.entries,
    flush: () => journal.flush(),
    stop: () => {
      stopped ??= new Promise<void>((resolve) => {
        server.close(() => {
          journal.close();
          resolve();
        });
        if ("closeAllConnections" in server) server.closeAllConnections();
      });
      return stopped;
    },
  };
}

/** @throws ErpFault 400 */
function parseBody(text: string): Body {
  let body: unknown;
  try {
    body = JSON.parse(text === "" ? "{}" : text);
  } catch (cause) {
    throw new ErpFault(
      400,
      "werkzeug.exceptions.BadRequest",
      `could not parse the body as json: ${cause instanceof Error ? cause.message : ""}`,
    );
  }
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new ErpFault(400, "werkzeug.exceptions.BadRequest", "the body must be a json object");
  return body as Body;
}

function isKey(header: string | undefined, apiKey: string): boolean {
  const given = Buffer.from(/^bearer\s+(.+)$/i.exec(header ?? "")?.[1] ?? "");
  const wanted = Buffer.from(apiKey);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function isDropped(
  drops: { readonly model: string; readonly method: string; left: number }[],
  model: string,
  method: string,
): boolean {
  const at = drops.findIndex((drop) => drop.model === model && drop.method === method);
  const drop = drops[at];
  if (!drop || --drop.left > 0) return false;
  drops.splice(at, 1);
  return true;
}
