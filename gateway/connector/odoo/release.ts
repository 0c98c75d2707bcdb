import { createHash } from "node:crypto";
import type { z } from "zod";
import { type productionOrderReleased, toInstant } from "../../../protocol/index.ts";
import { moIdOf } from "./order.ts";
import { fromOdooQuantity, type Measures } from "./quantities.ts";
import type { Product, Production, RawMove, WorkOrder } from "./records.ts";

/** The canonical release; `revision` is the connector's own counter. */
export type Release = z.infer<typeof productionOrderReleased.data>;

/** The rows of Odoo that one release is made of. */
export interface ReleaseRows {
  readonly order: Production;
  readonly moves: readonly RawMove[];
  readonly workOrders: readonly WorkOrder[];
  readonly products: ReadonlyMap<number, Product>;
  /** Sequence of a routing operation by its id. */
  readonly sequences: ReadonlyMap<number, number>;
  /** Names by which the floor knows the work centres. */
  readonly workCentres: ReadonlyMap<number, string>;
  /** Warehouse codes. */
  readonly warehouses: ReadonlyMap<number, string>;
}

/** An order that cannot be released as it is; a person has to complete it in Odoo. */
export class Unreleasable extends Error {}

/**
 * @throws Unreleasable for missing master data, PlantgateError UNIT_UNKNOWN
 */
export function toRelease(rows: ReleaseRows, options: { erp: string; measures: Measures }): Omit<Release, "revision"> {
  const { order } = rows;
  const item = (id: number, name: string): string => {
    const code = rows.products.get(id)?.default_code;
    if (!code) throw new Unreleasable(`${name} has no internal reference`);
    return code;
  };
  const warehouse = order.warehouse_id ? rows.warehouses.get(order.warehouse_id[0]) : undefined;
  if (!warehouse) throw new Unreleasable("it has no warehouse");
  const numbers = operationNumbers(rows);
  const byOperation = new Map(
    rows.workOrders.flatMap((work) => (work.operation_id ? [[work.operation_id[0], numbers.get(work.id) ?? 0] as const] : [])),
  );
  return {
    moId: moIdOf(options.erp, order.id),
    orderName: order.name,
    item: item(...order.product_id),
    quantity: fromOdooQuantity(order.product_qty, order.product_uom_id[1], options.measures),
    warehouse,
    ...(order.date_deadline ? { needBy: parseOdooTime(order.date_deadline) } : {}),
    priority: order.priority === "1" ? 1 : 0,
    components: rows.moves
      .filter((move) => move.state !== "cancel" && move.product_uom_qty > 0)
      .map((move) => {
        const operation = move.operation_id ? byOperation.get(move.operation_id[0]) : undefined;
        return {
          lineNo: move.id,
          item: item(...move.product_id),
          quantity: fromOdooQuantity(move.product_uom_qty, move.product_uom[1], options.measures),
          ...(operation === undefined ? {} : { operation }),
        };
      })
      .sort((a, b) => a.lineNo - b.lineNo),
    operations: rows.workOrders
      .map((work) => ({
        seq: numbers.get(work.id) ?? 0,
        workCentre: rows.workCentres.get(work.workcenter_id[0]) ?? work.workcenter_id[1],
        minutes: Math.round(work.duration_expected * 100) / 100,
        name: work.name,
      }))
      .sort((a, b) => a.seq - b.seq),
  };
}

/** Naive UTC, as Odoo writes it, to an instant. */
export function parseOdooTime(text: string): string {
  return toInstant(Date.parse(`${text.replace(" ", "T")}Z`));
}

/** Changes exactly when what the plant works from changes; a new name or another work order state is no new revision. */
export function releaseHash(release: Omit<Release, "revision">): string {
  const { item, quantity, needBy, priority, components, operations } = release;
  const content = JSON.stringify([
    item,
    [quantity.value, quantity.unitCode],
    needBy ?? null,
    priority,
    components.map((line) => [line.lineNo, line.item, line.quantity.value, line.quantity.unitCode, line.operation ?? null]),
    operations.map((operation) => [operation.seq, operation.workCentre, operation.minutes, operation.name ?? null]),
  ]);
  return createHash("sha256").update(content).digest("hex").slice(0, 32);
}

/** Operation numbers of the work orders: the routing's own sequence, or 10, 20, … where it does not tell them apart. */
function operationNumbers(rows: ReleaseRows): Map<number, number> {
  const sequence = (work: WorkOrder): number =>
    (work.operation_id ? rows.sequences.get(work.operation_id[0]) : undefined) ?? work.sequence;
  const sorted = [...rows.workOrders].sort((a, b) => sequence(a) - sequence(b) || a.id - b.id);
  const distinct = new Set(sorted.map(sequence)).size === sorted.length;
  return new Map(sorted.map((work, index) => [work.id, distinct ? sequence(work) : (index + 1) * 10]));
}
