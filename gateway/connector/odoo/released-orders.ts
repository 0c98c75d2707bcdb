import { z } from "zod";
import { describeError, type EpochMs, hasDisposition } from "../../../protocol/index.ts";
import type { Inlet, Input } from "../connector.ts";
import type { Domain, OdooClient } from "./client.ts";
import { moIdOf, readProducts } from "./order.ts";
import type { Measures } from "./quantities.ts";
import { operation, type Production, production, rawMove, warehouse, workCentre, workOrder } from "./records.ts";
import { releaseHash, toRelease, Unreleasable } from "./release.ts";

/** What the plant was last told of an order. Flushed with the message that told it. */
const told = z.object({ revision: z.int().min(1), hash: z.string() });
type Told = z.infer<typeof told>;

interface Changed {
  readonly release: ReturnType<typeof toRelease>;
  readonly hash: string;
  readonly before: Told | undefined;
}

export interface ReleasedOrdersDeps {
  readonly client: OdooClient;
  readonly inlet: Inlet;
  readonly erp: string;
  readonly warehouses: readonly string[];
  readonly flows: readonly string[];
  readonly overlapMs: number;
  now(): EpochMs;
  /** An order that cannot be released, or `undefined` once it can. */
  unreleasable(orders: readonly string[]): void;
}

const pageSize = 200;
/** Every so many polls all open orders are read: late commits and changes that touch no write_date are found then. */
const pollsPerFullRead = 12;

/**
 * The source `production-order.released`: reads open orders and hands over those whose content changed since the plant was last told.
 * The write_date window only saves work; what was told is remembered per order, with its message, so nothing depends on the window.
 */
export class ReleasedOrders {
  readonly #deps: ReleasedOrdersDeps;
  readonly #told = new Map<number, Told>();
  readonly #problems = new Map<number, string>();
  /** Open backorders, which are not looked at again. */
  readonly #backorders = new Set<number>();
  #newest: string | undefined;
  #polls = 0;

  constructor(deps: ReleasedOrdersDeps) {
    this.#deps = deps;
  }

  /**
   * One poll. Returns once everything it found is flushed.
   * @throws OdooError; PlantgateError QUEUE_FULL or STOPPED, after which the next poll finds the same again
   */
  async poll(measures: Measures, signal: AbortSignal): Promise<void> {
    const full = this.#newest === undefined || this.#polls % pollsPerFullRead === 0;
    const seen = new Set<number>();
    let newest = this.#newest;
    const domain = full ? this.#openOrders() : await this.#changedOrders(signal);
    for (let after = 0; domain !== undefined; ) {
      const page = await this.#deps.client.search("mrp.production", production, [...domain, ["id", ">", after]], signal, {
        limit: pageSize,
      });
      for (const order of page) {
        seen.add(order.id);
        if (newest === undefined || order.write_date > newest) newest = order.write_date;
      }
      await this.#release(page, measures, signal);
      const last = page.at(-1);
      if (page.length < pageSize || !last) break;
      after = last.id;
    }
    if (full) this.#forgetClosed(seen);
    this.#newest = newest ?? this.#newest;
    this.#polls += 1;
    this.#deps.unreleasable([...this.#problems.values()]);
  }

  #openOrders(): Domain {
    return [
      ["state", "in", ["confirmed", "progress", "to_close"]],
      ["warehouse_id.code", "in", this.#deps.warehouses],
    ];
  }

  /** Orders written within the window, and those of components and operations written within it: a component does not touch its order. */
  async #changedOrders(signal: AbortSignal): Promise<Domain | undefined> {
    const since = odooTime(Date.parse(`${this.#newest?.replace(" ", "T")}Z`) - this.#deps.overlapMs);
    const moves = await this.#deps.client.search(
      "stock.move",
      z.object({ id: z.int(), raw_material_production_id: rawMove.shape.raw_material_production_id }),
      [
        ["raw_material_production_id.state", "in", ["confirmed", "progress", "to_close"]],
        ["raw_material_production_id.warehouse_id.code", "in", this.#deps.warehouses],
        ["write_date", ">=", since],
      ],
      signal,
    );
    const works = await this.#deps.client.search(
      "mrp.workorder",
      z.object({ id: z.int(), production_id: workOrder.shape.production_id }),
      [
        ["production_id.state", "in", ["confirmed", "progress", "to_close"]],
        ["production_id.warehouse_id.code", "in", this.#deps.warehouses],
        ["write_date", ">=", since],
      ],
      signal,
    );
    const ids = new Set([
      ...moves.flatMap((move) => (move.raw_material_production_id ? [move.raw_material_production_id[0]] : [])),
      ...works.map((work) => work.production_id[0]),
    ]);
    return [...this.#openOrders(), "|", ["write_date", ">=", since], ["id", "in", [...ids]]];
  }

  async #release(orders: readonly Production[], measures: Measures, signal: AbortSignal): Promise<void> {
    const changed = await this.#changed(await this.#ownOrders(orders, signal), measures, signal);
    if (changed.size === 0) return;
    // an order that was booked on between the calls that read it looks like a revision that never was: two readings have to agree
    const again = await this.#changed(await this.#readAgain([...changed.keys()], signal), measures, signal);
    for (const [id, { release, hash, before }] of changed) {
      if (again.get(id)?.hash !== hash) continue;
      const now: Told = { revision: (before?.revision ?? 0) + 1, hash };
      const decoded = { ...release, revision: now.revision };
      const body = new TextEncoder().encode(JSON.stringify(decoded));
      const inputs = this.#deps.flows.map(
        (flow): Input => ({
          origin: { kind: "source", flow },
          body,
          decoded,
          receivedAt: this.#deps.now(),
          cursors: [{ name: releaseCursor(release.moId), value: JSON.stringify(now) }],
        }),
      );
      await this.#deps.inlet.accept(inputs);
      this.#told.set(id, now);
    }
  }

  /** Those of the orders that are not as the plant was last told. */
  async #changed(orders: readonly Production[], measures: Measures, signal: AbortSignal): Promise<Map<number, Changed>> {
    const changed = new Map<number, Changed>();
    if (orders.length === 0) return changed;
    const rows = await this.#rowsOf(orders, signal);
    for (const order of orders) {
      let release: ReturnType<typeof toRelease>;
      try {
        release = toRelease(
          { order, ...rows, moves: rows.moves.get(order.id) ?? [], workOrders: rows.workOrders.get(order.id) ?? [] },
          { erp: this.#deps.erp, measures },
        );
        this.#problems.delete(order.id);
      } catch (error) {
        if (!(error instanceof Unreleasable) && !hasDisposition(error, "reject")) throw error;
        this.#problems.set(order.id, `${order.name}: ${describeError(error)}`);
        continue;
      }
      const hash = releaseHash(release);
      const before = this.#told.get(order.id) ?? parseTold(await this.#deps.inlet.cursor(releaseCursor(release.moId)));
      if (before?.hash === hash) this.#told.set(order.id, before);
      else changed.set(order.id, { release, hash, before });
    }
    return changed;
  }

  /** Still open ones of these orders, as they are now; what was closed meanwhile is not released any more. */
  #readAgain(ids: readonly number[], signal: AbortSignal): Promise<readonly Production[]> {
    return this.#deps.client.search("mrp.production", production, [...this.#openOrders(), ["id", "in", [...ids]]], signal);
  }

  /**
   * Backorders go on under the id of the order that was released, and are not released themselves; parts of an order that was split before
   * work began are. A backorder comes into being in the transaction that makes an older order of its group done.
   */
  async #ownOrders(orders: readonly Production[], signal: AbortSignal): Promise<readonly Production[]> {
    const own: Production[] = [];
    const doubtful: Production[] = [];
    for (const order of orders) {
      if (this.#backorders.has(order.id)) continue;
      const isFirst = order.backorder_sequence <= 1 || !order.production_group_id;
      const known =
        isFirst ||
        this.#told.has(order.id) ||
        (await this.#deps.inlet.cursor(releaseCursor(moIdOf(this.#deps.erp, order.id)))) !== undefined;
      (known ? own : doubtful).push(order);
    }
    if (doubtful.length === 0) return own;
    const groups = [...new Set(doubtful.flatMap((order) => (order.production_group_id ? [order.production_group_id[0]] : [])))];
    const done = await this.#deps.client.search(
      "mrp.production",
      production.pick({ id: true, production_group_id: true }),
      [
        ["production_group_id", "in", groups],
        ["state", "=", "done"],
      ],
      signal,
    );
    for (const order of doubtful) {
      const continues = done.some(
        (older) =>
          older.id < order.id &&
          older.production_group_id &&
          order.production_group_id &&
          older.production_group_id[0] === order.production_group_id[0],
      );
      if (continues) this.#backorders.add(order.id);
      else own.push(order);
    }
    return own;
  }

  async #rowsOf(orders: readonly Production[], signal: AbortSignal) {
    const { client } = this.#deps;
    const ids = orders.map((order) => order.id);
    const moves = await client.search(
      "stock.move",
      rawMove,
      [
        ["raw_material_production_id", "in", ids],
        ["scrap_id", "=", false],
      ],
      signal,
    );
    const works = await client.search("mrp.workorder", workOrder, [["production_id", "in", ids]], signal);
    const operations = [...new Set(works.flatMap((work) => (work.operation_id ? [work.operation_id[0]] : [])))];
    const [products, sequences, workCentres, warehouses] = [
      await readProducts(
        client,
        [...orders.map((order) => order.product_id[0]), ...moves.map((move) => move.product_id[0])],
        signal,
      ),
      operations.length === 0
        ? []
        : await client.search(
            "mrp.routing.workcenter",
            operation,
            [
              ["id", "in", operations],
              ["active", "in", [true, false]],
            ],
            signal,
          ),
      works.length === 0
        ? []
        : await client.search(
            "mrp.workcenter",
            workCentre,
            [["id", "in", [...new Set(works.map((work) => work.workcenter_id[0]))]]],
            signal,
          ),
      await client.search("stock.warehouse", warehouse, [["code", "in", this.#deps.warehouses]], signal),
    ];
    return {
      moves: Map.groupBy(moves, (move) => (move.raw_material_production_id ? move.raw_material_production_id[0] : 0)),
      workOrders: Map.groupBy(works, (work) => work.production_id[0]),
      products,
      sequences: new Map(sequences.map((row) => [row.id, row.sequence])),
      workCentres: new Map(workCentres.map((row) => [row.id, row.code || row.name])),
      warehouses: new Map(warehouses.map((row) => [row.id, row.code])),
    };
  }

  /** After a full read: orders that are closed need no memory; their revision stays in the queue's cursor. */
  #forgetClosed(open: ReadonlySet<number>): void {
    for (const memory of [this.#told, this.#problems, this.#backorders]) {
      for (const id of memory.keys()) if (!open.has(id)) memory.delete(id);
    }
  }
}

/** The name of the cursor that holds what was told of an order. */
export function releaseCursor(moId: string): string {
  return `release/${moId}`;
}

/** Naive UTC, whole seconds: the only form that Odoo takes in a domain. */
function odooTime(at: EpochMs): string {
  return new Date(at).toISOString().slice(0, 19).replace("T", " ");
}

function parseTold(value: string | undefined): Told | undefined {
  if (value === undefined) return undefined;
  const parsed = told.safeParse(JSON.parse(value));
  return parsed.success ? parsed.data : undefined;
}
