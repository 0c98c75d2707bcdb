import { Decimal } from "decimal.js";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { PickFact } from "../../../packaging/demo/simulators/entry.ts";
import { planPicks } from "../../../packaging/demo/simulators/pick-plan.ts";
import type { ShopOrder } from "../../../packaging/demo/simulators/shop-order.ts";
import { planReports } from "../../../packaging/demo/simulators/terminal.ts";

it("consumes and scraps no more of a lot than was picked for the order, and all of what was", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 5000 }),
      (id, pieces, hundredths) => {
        const order: ShopOrder = {
          order: `hq-mo-${id}`,
          name: "WH/MO/1",
          item: "FG",
          qty: String(pieces),
          uom: "C62",
          revision: 1,
          lines: [
            { no: 1, item: "RM-ALU", qty: new Decimal(hundredths).div(100).toFixed(), uom: "KGM" },
            { no: 2, item: "RM-SEAL", qty: String(pieces), uom: "C62" },
          ],
        };
        let counter = 0;
        const next = () => ++counter;
        const picks = planPicks(order, 1, next).filter((fact): fact is PickFact => fact.fact === "pick");
        const left = new Map<string, Decimal>();
        const move = (item: string, lot: string, qty: Decimal.Value): void => {
          left.set(`${item}/${lot}`, (left.get(`${item}/${lot}`) ?? new Decimal(0)).plus(qty));
        };
        for (const { sku, lot, qty } of picks.flatMap((pick) => pick.lines)) move(sku, lot, qty);
        for (const report of planReports(order, picks, 1, next)) {
          if (report.fact === "scrap") move(report.item, report.lot, `-${report.qty}`);
          else for (const { item, lot, qty } of report.consumed) move(item, lot, `-${qty}`);
          for (const amount of left.values()) expect(amount.gte(0)).toBe(true);
        }
        for (const amount of left.values()) expect(amount.isZero()).toBe(true);
      },
    ),
  );
});
