import { Decimal } from "decimal.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lineCommands } from "../../../../gateway/connector/odoo/consumption.ts";
import { parseTag, writeTag } from "../../../../gateway/connector/odoo/journal.ts";
import { parseMoId } from "../../../../gateway/connector/odoo/order.ts";
import { consumptionOf } from "../../../../gateway/connector/odoo/production-report.ts";
import { fromOdooQuantity, toOdooQuantity, Unbookable } from "../../../../gateway/connector/odoo/quantities.ts";
import type { MoveLine, PickMove } from "../../../../gateway/connector/odoo/records.ts";
import { chooseMove, pickCommands } from "../../../../gateway/connector/odoo/transfer-confirm.ts";

const measures = { digits: 2, units: { kg: "KGM", g: "GRM", Units: "C62" } };
const kilos = (value: string) => ({ value, unitCode: "KGM" as const, scale: 2 });

const line = (id: number, move: number, lot: number | false, quantity: number, picked: boolean): MoveLine => ({
  id,
  move_id: [move, "m"],
  product_id: [5, "alu"],
  product_uom_id: [16, "kg"],
  lot_id: lot === false ? false : [lot, `L${lot}`],
  quantity,
  picked,
  location_id: [21, "Pre"],
});

describe("a quantity on its way to Odoo", () => {
  it("is converted and rounded once, to the digits that Odoo keeps", () => {
    expect(toOdooQuantity({ value: "12345.6", unitCode: "GRM", scale: 1 }, "kg", measures).toFixed()).toBe("12.35");
    expect(toOdooQuantity(kilos("0.004"), "g", measures).toFixed()).toBe("4");
  });

  it("is refused when it would become nothing, or has another dimension, or is negative", () => {
    expect(() => toOdooQuantity({ value: "1", unitCode: "GRM", scale: 0 }, "kg", measures)).toThrow(Unbookable);
    expect(() => toOdooQuantity({ value: "1", unitCode: "C62", scale: 0 }, "kg", measures)).toThrow(Unbookable);
    expect(() => toOdooQuantity(kilos("-1"), "kg", measures)).toThrow(Unbookable);
    expect(toOdooQuantity(kilos("0"), "kg", measures).isZero()).toBe(true);
  });

  it("comes back as it went, for every quantity that Odoo can hold", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e12 }), (hundredths) => {
        const value = new Decimal(hundredths).dividedBy(100).toFixed();
        const number = toOdooQuantity(kilos(value), "kg", measures).toNumber();
        expect(fromOdooQuantity(number, "kg", measures).value).toBe(value);
      }),
    );
  });
});

describe("the name of a message in Odoo", () => {
  it("is read back as it was written, whatever its key holds", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        fc.option(fc.string(), { nil: undefined }),
        (site, key, lot) => {
          const tag = {
            site: site.toWellFormed(),
            type: "mfg.pick.confirmed.v1",
            key: key.toWellFormed(),
            ...(lot === undefined ? {} : { lot: lot.toWellFormed() }),
          };
          expect(parseTag(writeTag(tag))).toEqual(tag);
        },
      ),
    );
  });

  it("is told from the notes of others", () => {
    expect(parseTag("<176.openerp-4-mrp.production@erp>")).toBeUndefined();
    expect(parseTag(false)).toBeUndefined();
  });
});

describe("an order id", () => {
  it("belongs to this system or to none", () => {
    expect(parseMoId("hq", "hq-mo-42")).toBe(42);
    for (const other of ["hq-mo-", "hq-mo-0", "hq-mo-4.2", "hq-mo-42x", "us-mo-42", "42"])
      expect(parseMoId("hq", other)).toBeUndefined();
  });
});

describe("a component's lines", () => {
  const move = { location_id: [21, "Pre"] as [number, string], location_dest_id: [15, "Prod"] as [number, string] };
  const product = { id: 5, uom_id: [16, "kg"] as [number, string] };

  it("become what was reported: a reserved line of the lot is taken, a lot without one gets one, a picked one nobody reported goes", () => {
    const lines = [line(1, 24, 7, 12.5, false), line(2, 24, 9, 1, true)];
    const targets = [
      { lot: 7, amount: new Decimal("5") },
      { lot: 8, amount: new Decimal("2.5") },
    ];
    expect(lineCommands(move, product, lines, targets)).toEqual([
      [2, 2, 0],
      [1, 1, { quantity: 5, product_uom_id: 16, picked: true }],
      [
        0,
        0,
        { product_id: 5, product_uom_id: 16, lot_id: 8, quantity: 2.5, location_id: 21, location_dest_id: 15, picked: true },
      ],
    ]);
  });

  it("stay as they are when they are written again", () => {
    const after = [line(1, 24, 7, 5, true), line(3, 24, 8, 2.5, true)];
    const again = lineCommands(move, product, after, [
      { lot: 7, amount: new Decimal("5") },
      { lot: 8, amount: new Decimal("2.5") },
    ]);
    expect(again).toEqual([
      [1, 1, { quantity: 5, product_uom_id: 16, picked: true }],
      [1, 3, { quantity: 2.5, product_uom_id: 16, picked: true }],
    ]);
  });
});

describe("what goes into reported goods", () => {
  const products = {
    toUnit: async (_: string, amount: { value: string }) => new Decimal(amount.value),
    lotOf: async (_: string, lot?: string) => lot ?? "",
  };
  const report = (final: boolean, genealogy: [string, string, string][]) => ({
    txnId: "F",
    moId: "hq-mo-1",
    item: "FG",
    goodQty: { value: "1", unitCode: "C62" as const, scale: 0 },
    final,
    genealogy: genealogy.map(([item, lot, value], lineNo) => ({ lineNo, item, lot, qty: kilos(value) })),
    confirmedAt: "2026-11-24T08:00:00.000Z",
  });
  const outstanding = new Map([
    ["ALU", new Map([["L1", new Decimal("12")]])],
    [
      "INS",
      new Map([
        ["I1", new Decimal("4")],
        ["I2", new Decimal("-1")],
      ]),
    ],
  ]);
  const read = (wanted: Map<string, Map<string, Decimal>>) =>
    [...wanted].flatMap(([item, lots]) => [...lots].map(([lot, amount]) => `${item} ${lot} ${amount.toFixed()}`)).sort();

  it("is the genealogy for the components that it lists, and what was consumed of the others", async () => {
    expect(read(await consumptionOf(report(false, [["ALU", "L1", "5"]]), outstanding, products))).toEqual([
      "ALU L1 5",
      "INS I1 4",
    ]);
  });

  it("is all that is outstanding, once, when the report is the last", async () => {
    expect(
      read(
        await consumptionOf(
          report(true, [
            ["ALU", "L1", "5"],
            ["ALU", "L2", "1"],
          ]),
          outstanding,
          products,
        ),
      ),
    ).toEqual(["ALU L1 12", "ALU L2 1", "INS I1 4"]);
  });
});

describe("a pick", () => {
  const move = (id: number, product: number, dest: number, pick = 3): PickMove => ({
    id,
    picking_id: [pick, "PC"],
    product_id: [product, "p"],
    product_uom: [16, "kg"],
    state: "assigned",
    move_dest_ids: [dest],
    location_id: [16, "Stock"],
    location_dest_id: [21, "Pre"],
  });

  it("goes to the move that it was noted on, else to the one that serves its line, else to the oldest of its item", () => {
    const moves = [move(28, 5, 24), move(29, 5, 25), move(30, 5, 26, 4)];
    expect(chooseMove(moves, 5, 25, 4)?.id).toBe(30);
    expect(chooseMove(moves, 5, 25, undefined)?.id).toBe(29);
    expect(chooseMove(moves, 5, 99, undefined)?.id).toBe(28);
    expect(chooseMove(moves, 6, 24, undefined)).toBeUndefined();
  });

  it("marks exactly one line as picked, whatever an earlier attempt of another message had marked", () => {
    const moves = [move(28, 5, 24), move(29, 6, 25)];
    const lines = [line(1, 28, 7, 12.5, false), line(2, 28, 8, 2, true), line(3, 29, 9, 200, true)];
    expect(pickCommands(moves, lines, moves[0]!, { product: 5, unit: 16, lot: 7, amount: 8, at: 16, pick: 3 })).toEqual([
      [
        1,
        28,
        {
          move_line_ids: [
            [1, 2, { picked: false }],
            [1, 1, { quantity: 8, product_uom_id: 16, picked: true }],
          ],
        },
      ],
      [1, 29, { move_line_ids: [[1, 3, { picked: false }]] }],
    ]);
  });
});
