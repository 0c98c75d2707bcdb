import type { Database, Production } from "./database.ts";
import type { Context } from "./picking.ts";
import { rawMovesOf } from "./production.ts";
import { round, sum } from "./quantity.ts";
import type { Stock } from "./stock.ts";

/** The question that Odoo asks, with a 200, instead of closing an order; undefined where the context answers it or there is none. */
export function wizardOf(db: Database, stock: Stock, order: Production, context: Context): Record<string, unknown> | undefined {
  const common = { type: "ir.actions.act_window", target: "new", view_mode: "form", views: [[false, "form"]], res_id: 0 };
  if (!context.skip_consumption && order.consumption !== "flexible" && order.bom_id !== false) {
    const differing = rawMovesOf(db, order)
      .map((move) => ({
        move,
        expected: round(order.qty_producing * move.unit_factor),
        consumed: sum(stock.linesOf(move).flatMap((line) => (line.picked ? [line.quantity] : []))),
      }))
      .filter(({ expected, consumed }) => expected !== consumed);
    if (differing.length > 0) {
      const lines = differing.map(({ move, expected, consumed }) => [
        0,
        0,
        {
          mrp_production_id: order.id,
          product_id: move.product_id,
          consumption: order.consumption,
          product_uom_id: move.product_uom,
          product_consumed_qty_uom: consumed,
          product_expected_qty_uom: expected,
        },
      ]);
      return {
        ...common,
        name: "Consumption Warning",
        res_model: "mrp.consumption.warning",
        context: {
          ...context,
          default_mrp_production_ids: [order.id],
          default_mrp_consumption_warning_line_ids: lines,
          form_view_ref: false,
        },
      };
    }
  }
  if (!context.skip_backorder && round(order.product_qty - order.qty_producing) > 0) {
    return {
      ...common,
      name: "You produced less than the initial demand",
      res_model: "mrp.production.backorder",
      context: {
        ...context,
        always_backorder_mo_ids: [],
        default_mrp_production_ids: [order.id],
        default_mrp_production_backorder_line_ids: [[0, 0, { mrp_production_id: order.id, to_backorder: true }]],
      },
    };
  }
  return undefined;
}
