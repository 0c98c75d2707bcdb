import type { Rpc } from "./rpc.ts";
import { confirmOrder, type Plant, type Warehouse } from "./setup.ts";

/** What a plant reports of one order, in the order in which it happens. */
export interface Report {
  readonly type: string;
  readonly operation: string;
  readonly data: Record<string, unknown>;
}

/** One booked line, as it has to stand in Odoo. */
export interface Booked {
  readonly kind: "pick" | "consumed" | "finished" | "scrap";
  readonly item: string;
  readonly lot: string;
  readonly quantity: number;
  readonly from: number;
  readonly to: number | "production" | "scrap";
}

export interface Expected {
  readonly lines: readonly Booked[];
  /** Finished lot → the lots that went in, `item lot quantity`. */
  readonly genealogy: Readonly<Record<string, readonly string[]>>;
}

const at = "2026-11-24T08:00:00.000Z";
const pieces = (value: string) => ({ value, unitCode: "C62", scale: 0 });
const kilos = (value: string) => ({ value, unitCode: "KGM", scale: 3 });

/**
 * An order of 100: picked in four lines, one component with two lots and the other in two goes, consumed lot by lot, reported as 60 and
 * then 40, with scrap between. `line`: from item code to the line number of the released order.
 */
export function reportsOf(plant: Plant, moId: string, line: (item: string) => number, prefix: string): Report[] {
  const { housing, alu, insert } = plant.items;
  const { L1, L2, I1, I2 } = plant.lots;
  const pick = (txn: string, item: string, lot: string, qtyPicked: object): Report => ({
    type: "mfg.pick.confirmed.v1",
    operation: "transfer.confirm",
    data: {
      txnId: `${prefix}-${txn}`,
      taskId: "PK-7",
      moId,
      lineNo: line(item),
      item,
      lot,
      qtyPicked,
      fromBin: "BIN-04-2",
      operator: "u17",
      pickedAt: at,
    },
  });
  const consume = (txn: string, item: string, lot: string, qty: object, lineNo: number): Report => ({
    type: "mfg.material.consumed.v1",
    operation: "material.consume",
    data: { txnId: `${prefix}-${txn}`, lineNo, moId, item, lot, qty, use: "Consumed", consumedAt: at },
  });
  const finish = (txn: string, lot: string, goodQty: object, final: boolean, genealogy: object[]): Report => ({
    type: "mfg.finished-goods.confirmed.v1",
    operation: "production.report",
    data: { txnId: `${prefix}-${txn}`, moId, item: housing.code, lot, goodQty, final, genealogy, confirmedAt: at },
  });
  return [
    pick("T1", alu.code, L1.name, { value: "8000", unitCode: "GRM", scale: 0 }),
    pick("T2", alu.code, L2.name, kilos("4.5")),
    pick("T3", insert.code, I1.name, pieces("120")),
    {
      type: "mfg.shortage.reported.v1",
      operation: "shortage.note",
      data: { shortageId: `${prefix}-N1`, moId, item: insert.code, qtyShort: pieces("80"), cause: "empty-bin", reportedAt: at },
    },
    consume("F1", alu.code, L1.name, kilos("5"), 1),
    consume("F1", alu.code, L2.name, kilos("2.5"), 2),
    consume("F1", insert.code, I1.name, pieces("120"), 3),
    finish("F1", `B1-${prefix}`, pieces("60"), false, [
      { lineNo: 1, item: alu.code, lot: L1.name, qty: kilos("5") },
      { lineNo: 2, item: alu.code, lot: L2.name, qty: kilos("2.5") },
      { lineNo: 3, item: insert.code, lot: I1.name, qty: pieces("120") },
    ]),
    {
      type: "mfg.scrap.reported.v1",
      operation: "scrap.book",
      data: {
        txnId: `${prefix}-S1`,
        moId,
        item: alu.code,
        lot: L1.name,
        qty: kilos("0.4"),
        reason: { code: "burr" },
        reportedAt: at,
      },
    },
    pick("T4", insert.code, I2.name, pieces("80")),
    consume("C2", alu.code, L1.name, kilos("2.6"), 1),
    consume("C2", alu.code, L2.name, kilos("2"), 2),
    consume("C3", insert.code, I2.name, pieces("80"), 1),
    finish("F2", `B2-${prefix}`, pieces("40"), true, []),
  ];
}

/** What the reports above have to leave in Odoo. */
export function expectedOf(plant: Plant, warehouse: Warehouse, prefix: string): Expected {
  const { housing, alu, insert } = plant.items;
  const { L1, L2, I1, I2 } = plant.lots;
  const { stock, preProduction } = warehouse;
  const pick = (item: string, lot: string, quantity: number): Booked => ({
    kind: "pick",
    item,
    lot,
    quantity,
    from: stock,
    to: preProduction,
  });
  const consumed = (item: string, lot: string, quantity: number): Booked => ({
    kind: "consumed",
    item,
    lot,
    quantity,
    from: preProduction,
    to: "production",
  });
  return {
    lines: [
      pick(alu.code, L1.name, 8),
      pick(alu.code, L2.name, 4.5),
      pick(insert.code, I1.name, 120),
      pick(insert.code, I2.name, 80),
      consumed(alu.code, L1.name, 5),
      consumed(alu.code, L2.name, 2.5),
      consumed(insert.code, I1.name, 120),
      consumed(alu.code, L1.name, 2.6),
      consumed(alu.code, L2.name, 2),
      consumed(insert.code, I2.name, 80),
      { kind: "finished", item: housing.code, lot: `B1-${prefix}`, quantity: 60, from: -1, to: stock },
      { kind: "finished", item: housing.code, lot: `B2-${prefix}`, quantity: 40, from: -1, to: stock },
      { kind: "scrap", item: alu.code, lot: L1.name, quantity: 0.4, from: preProduction, to: "scrap" },
    ],
    genealogy: {
      [`B1-${prefix}`]: [`${alu.code} ${L1.name} 5`, `${alu.code} ${L2.name} 2.5`, `${insert.code} ${I1.name} 120`].sort(),
      [`B2-${prefix}`]: [`${alu.code} ${L1.name} 2.6`, `${alu.code} ${L2.name} 2`, `${insert.code} ${I2.name} 80`].sort(),
    },
  };
}

/**
 * Confirms an order in Odoo, reports all of it through `send`, and says what Odoo holds then and what it should hold. `send` returns once a
 * report is booked; it may be a connector, or a plant's gateway with central between.
 */
export async function playOrder(
  rpc: Rpc,
  plant: Plant,
  code: "LYO" | "POR",
  prefix: string,
  send: (report: Report) => Promise<void>,
): Promise<{ readonly orderId: number; readonly booked: Expected; readonly expected: Expected }> {
  const orderId = await confirmOrder(rpc, plant, plant.warehouses[code], 100);
  const moves = await rpc<{ id: number; product_id: [number, string] }[]>("stock.move", "search_read", {
    domain: [["raw_material_production_id", "=", orderId]],
    fields: ["product_id"],
  });
  const line = (item: string) => moves.find((move) => move.product_id[1].includes(item))!.id;
  for (const report of reportsOf(plant, `hq-mo-${orderId}`, line, prefix)) await send(report);
  const booked = await bookedOf(rpc, plant, orderId);
  const expected = expectedOf(plant, plant.warehouses[code], prefix);
  return {
    orderId,
    booked: { ...booked, lines: sorted(booked.lines) },
    expected: { ...expected, lines: sorted(expected.lines) },
  };
}

interface LineRow {
  readonly id: number;
  readonly product_id: [number, string];
  readonly lot_id: [number, string] | false;
  readonly quantity: number;
  readonly location_id: [number, string];
  readonly location_dest_id: [number, string];
  readonly location_usage: string;
  readonly location_dest_usage: string;
  readonly scrap_id: [number, string] | false;
  readonly consume_line_ids: number[];
  readonly produce_line_ids: number[];
}

/** Every done line of the order's chain and picks, and the genealogy that Odoo holds, read by hand. */
export async function bookedOf(rpc: Rpc, plant: Plant, orderId: number): Promise<Expected> {
  const [order] = await rpc<{ production_group_id: [number, string] }[]>("mrp.production", "read", {
    ids: [orderId],
    fields: ["production_group_id"],
  });
  const chain = await rpc<{ id: number; picking_ids: number[] }[]>("mrp.production", "search_read", {
    domain: [["production_group_id", "=", order!.production_group_id[0]]],
    fields: ["picking_ids"],
  });
  const ids = chain.map((member) => member.id);
  const pickings = [...new Set(chain.flatMap((member) => member.picking_ids))];
  const rows = await rpc<LineRow[]>("stock.move.line", "search_read", {
    domain: [
      ["state", "=", "done"],
      ["product_id", "in", Object.values(plant.items).map((item) => item.id)],
      "|",
      "|",
      "|",
      ["picking_id", "in", pickings],
      ["move_id.raw_material_production_id", "in", ids],
      ["move_id.production_id", "in", ids],
      ["move_id.scrap_id.production_id", "in", ids],
    ],
    fields: [
      "product_id",
      "lot_id",
      "quantity",
      "location_id",
      "location_dest_id",
      "location_usage",
      "location_dest_usage",
      "scrap_id",
      "consume_line_ids",
      "produce_line_ids",
    ],
    order: "id",
  });
  const code = (row: LineRow) => Object.values(plant.items).find((item) => item.id === row.product_id[0])!.code;
  const lot = (row: LineRow) => (row.lot_id ? row.lot_id[1] : "");
  const byId = new Map(rows.map((row) => [row.id, row]));
  const kindOf = (row: LineRow): Booked["kind"] =>
    row.scrap_id || row.location_dest_usage === "inventory"
      ? "scrap"
      : row.location_usage === "production"
        ? "finished"
        : row.location_dest_usage === "production"
          ? "consumed"
          : "pick";
  const lines = rows.map((row): Booked => {
    const kind = kindOf(row);
    return {
      kind,
      item: code(row),
      lot: lot(row),
      quantity: row.quantity,
      from: kind === "finished" ? -1 : row.location_id[0],
      to: kind === "consumed" ? "production" : kind === "scrap" ? "scrap" : row.location_dest_id[0],
    };
  });
  const genealogy: Record<string, string[]> = {};
  for (const row of rows.filter((row) => kindOf(row) === "finished")) {
    genealogy[lot(row)] = row.consume_line_ids
      .map((id) => `${code(byId.get(id)!)} ${lot(byId.get(id)!)} ${byId.get(id)!.quantity}`)
      .sort();
  }
  return { lines, genealogy };
}

/** Lines have no order of their own. */
export function sorted(lines: readonly Booked[]): Booked[] {
  const text = (line: Booked) => `${line.kind} ${line.item} ${line.lot} ${line.quantity}`;
  return [...lines].sort((a, b) => (text(a) < text(b) ? -1 : 1));
}
