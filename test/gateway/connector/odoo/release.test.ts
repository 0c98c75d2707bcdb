import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  parseOdooTime,
  type ReleaseRows,
  releaseHash,
  toRelease,
  Unreleasable,
} from "../../../../gateway/connector/odoo/release.ts";
import { messageTypeOf } from "../../../../protocol/index.ts";

const options = { erp: "hq", measures: { digits: 2, units: { Units: "C62", kg: "KGM" } } };

function rows(change: Partial<Omit<ReleaseRows, "order">> & { order?: Partial<ReleaseRows["order"]> } = {}): ReleaseRows {
  return {
    moves: [
      {
        id: 24,
        raw_material_production_id: [42, "x"],
        product_id: [5, "[RM-ALU] Aluminium"],
        product_uom_qty: 12.5,
        product_uom: [16, "kg"],
        state: "waiting",
        picked: false,
        location_id: [21, "LYO/Pre-Production"],
        location_dest_id: [15, "Production"],
        operation_id: [2, "Press"],
      },
    ],
    workOrders: [
      {
        id: 3,
        production_id: [42, "x"],
        name: "Press",
        sequence: 100,
        operation_id: [2, "Press"],
        workcenter_id: [2, "Press 7"],
        duration_expected: 12.3456,
        state: "ready",
      },
    ],
    products: new Map([
      [4, { id: 4, default_code: "FG-HSG", uom_id: [1, "Units"], tracking: "lot" }],
      [5, { id: 5, default_code: "RM-ALU", uom_id: [16, "kg"], tracking: "lot" }],
    ]),
    sequences: new Map([[2, 10]]),
    workCentres: new Map([[2, "PRESS-7"]]),
    warehouses: new Map([[2, "LYO"]]),
    ...change,
    order: {
      id: 42,
      name: "LYO/MO/00042",
      state: "confirmed",
      product_id: [4, "[FG-HSG] Housing"],
      product_qty: 100,
      product_uom_id: [1, "Units"],
      production_group_id: [4, "x"],
      backorder_sequence: 0,
      location_src_id: [21, "LYO/Pre-Production"],
      location_dest_id: [16, "LYO/Stock"],
      warehouse_id: [2, "Lyon"],
      picking_ids: [],
      priority: "1",
      date_deadline: "2026-12-01 06:30:00",
      write_date: "2026-11-24 02:00:00",
      ...change.order,
    },
  };
}

describe("a released order", () => {
  it("says what, how much, of what, where, until when", () => {
    const release = toRelease(rows(), options);
    expect(release).toEqual({
      moId: "hq-mo-42",
      orderName: "LYO/MO/00042",
      item: "FG-HSG",
      quantity: { value: "100", unitCode: "C62", scale: 0, srcValue: "100", srcUnit: "Units" },
      warehouse: "LYO",
      needBy: "2026-12-01T06:30:00.000Z",
      priority: 1,
      components: [
        {
          lineNo: 24,
          item: "RM-ALU",
          quantity: { value: "12.5", unitCode: "KGM", scale: 1, srcValue: "12.5", srcUnit: "kg" },
          operation: 10,
        },
      ],
      operations: [{ seq: 10, workCentre: "PRESS-7", minutes: 12.35, name: "Press" }],
    });
    expect(() => messageTypeOf("mfg.production-order.released.v1").data.parse({ ...release, revision: 1 })).not.toThrow();
  });

  it("carries no noise of binary numbers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 1, max: 7 }), (hundredths, parts) => {
        // a sum as Odoo computes it in floating point
        let sum = 0;
        for (let i = 0; i < parts; i++) sum += hundredths / 100 / parts;
        const { quantity } = toRelease(rows({ order: { product_qty: sum } }), options);
        expect(quantity.value).toMatch(/^\d+(\.\d{1,2})?$/);
        expect(Number(quantity.value)).toBeCloseTo(hundredths / 100, 2);
      }),
    );
  });

  it("has another hash when quantity, need date, priority, a component or an operation changes, and the same when only its name does", () => {
    const hash = (change: Parameters<typeof rows>[0]) => releaseHash(toRelease(rows(change), options));
    const base = rows();
    const first = hash({});
    expect(hash({ order: { name: "LYO/MO/00042-001", state: "progress", write_date: "2026-11-25 02:00:00" } })).toBe(first);
    const others = [
      hash({ order: { product_qty: 99 } }),
      hash({ order: { date_deadline: false } }),
      hash({ order: { priority: "0" } }),
      hash({ moves: [{ ...base.moves[0]!, product_uom_qty: 12.51 }] }),
      hash({ moves: [] }),
      hash({ workOrders: [] }),
      hash({ workCentres: new Map([[2, "PRESS-8"]]) }),
    ];
    expect(new Set([first, ...others]).size).toBe(8);
  });

  it("numbers operations 10, 20, 30 where the routing's own sequences do not tell them apart", () => {
    const [work] = rows().workOrders;
    const release = toRelease(rows({ workOrders: [work!, { ...work!, id: 4, name: "Deburr" }] }), options);
    expect(release.operations.map((operation) => [operation.seq, operation.name])).toEqual([
      [10, "Press"],
      [20, "Deburr"],
    ]);
  });

  it("is held back when its item has no reference or its unit no code", () => {
    expect(() => toRelease(rows({ products: new Map() }), options)).toThrow(Unreleasable);
    expect(() => toRelease(rows({ order: { product_uom_id: [9, "Pallet"] } }), options)).toThrow(/Pallet/);
  });

  it("reads Odoo's naive times as UTC", () => {
    expect(parseOdooTime("2026-03-29 02:30:00")).toBe("2026-03-29T02:30:00.000Z");
  });
});
