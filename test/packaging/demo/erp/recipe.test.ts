import { describe, expect, it } from "vitest";
import { type Peer, startPeer } from "./client.ts";

/**
 * The recipe of an order, step by step, with the values that a real Odoo 19.0 gave for the very same calls: 40 pieces of 20 alloy and
 * 80 screws; stock of two lots of alloy (12 and 30) and 500 screws.
 */
async function startOrder(peer: Peer) {
  const [warehouse] = await peer.rows("stock.warehouse", [["code", "=", "LYO"]], ["lot_stock_id", "pbm_loc_id", "manu_type_id"]);
  const at = (name: string): number => (warehouse as unknown as Record<string, [number, string]>)[name]?.[0] ?? 0;
  const [stock, staging] = [at("lot_stock_id"), at("pbm_loc_id")];
  const [goods, alloy, screw] = (await peer.call<number[]>("product.product", "create", {
    vals_list: [
      { name: "Housing", default_code: "T-FG", type: "consu", is_storable: true, tracking: "lot" },
      { name: "Alloy", default_code: "T-RA", type: "consu", is_storable: true, tracking: "lot" },
      { name: "Screw", default_code: "T-RB", type: "consu", is_storable: true, tracking: "none" },
    ],
  })) as [number, number, number];
  const [product] = await peer.call<{ product_tmpl_id: [number, string] }[]>("product.product", "read", {
    ids: [goods],
    fields: ["product_tmpl_id"],
  });
  const [centre] = await peer.call<number[]>("mrp.workcenter", "create", { vals_list: [{ name: "PRESS", code: "PRS" }] });
  const [bom] = await peer.call<number[]>("mrp.bom", "create", {
    vals_list: [
      {
        product_tmpl_id: product?.product_tmpl_id[0],
        product_qty: 10,
        type: "normal",
        bom_line_ids: [
          [0, 0, { product_id: alloy, product_qty: 5 }],
          [0, 0, { product_id: screw, product_qty: 20 }],
        ],
        operation_ids: [[0, 0, { name: "Press", workcenter_id: centre, time_cycle_manual: 2, sequence: 10 }]],
      },
    ],
  });
  const [one, two] = (await peer.call<number[]>("stock.lot", "create", {
    vals_list: [
      { name: "L1", product_id: alloy },
      { name: "L2", product_id: alloy },
    ],
  })) as [number, number];
  const context = { inventory_mode: true };
  for (const [product_id, lot_id, inventory_quantity_auto_apply] of [
    [alloy, one, 12],
    [alloy, two, 30],
    [screw, false, 500],
  ]) {
    await peer.call("stock.quant", "create", {
      vals_list: [{ product_id, lot_id, location_id: stock, inventory_quantity_auto_apply }],
      context,
    });
  }
  const [order] = (await peer.call<number[]>("mrp.production", "create", {
    vals_list: [{ product_id: goods, product_qty: 40, bom_id: bom, origin: "SIM", picking_type_id: at("manu_type_id") }],
  })) as [number];
  await peer.call("mrp.production", "action_confirm", { ids: [order] });
  return { stock, staging, goods, alloy, screw, one, two, order };
}

type Row = Record<string, unknown>;
const bare = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 2 && typeof value[1] === "string" ? value[0] : value;

/** What the real one was asked for, with bare ids. */
async function read(peer: Peer, model: string, domain: unknown[], fields: string[]): Promise<Row[]> {
  return (await peer.rows(model, domain, fields)).map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, bare(value)])),
  );
}

describe("the recipe from release to the last scrap", () => {
  it("ends in the move lines, stock and genealogy that the real system shows", async () => {
    await using peer = await startPeer();
    const { stock, staging, goods, alloy, screw, one, two, order } = await startOrder(peer);

    // confirmed: one pick with the oldest lot first, components waiting for it
    const [mo] = await read(
      peer,
      "mrp.production",
      [["id", "=", order]],
      ["name", "state", "picking_ids", "move_raw_ids", "move_finished_ids", "reservation_state", "consumption"],
    );
    expect(mo).toMatchObject({ name: "LYO/MO/00001", state: "confirmed", reservation_state: "waiting", consumption: "warning" });
    const [pick] = mo!.picking_ids as number[];
    const [rawAlloy, rawScrew] = mo!.move_raw_ids as number[];
    const [pickAlloy] = await read(
      peer,
      "stock.move",
      [
        ["picking_id", "=", pick],
        ["product_id", "=", alloy],
      ],
      ["product_uom_qty", "quantity", "state", "move_dest_ids", "move_line_ids"],
    );
    expect(pickAlloy).toMatchObject({ product_uom_qty: 20, quantity: 20, state: "assigned", move_dest_ids: [rawAlloy] });
    const lines = await read(
      peer,
      "stock.move.line",
      [
        ["picking_id", "=", pick],
        ["product_id", "=", alloy],
      ],
      ["lot_id", "quantity", "picked", "state"],
    );
    expect(lines).toEqual([
      { id: lines[0]?.id, lot_id: one, quantity: 12, picked: false, state: "assigned" },
      { id: lines[1]?.id, lot_id: two, quantity: 8, picked: false, state: "assigned" },
    ]);

    // half of the alloy is picked, of the other lot
    const commands = [
      [1, lines[0]?.id, { quantity: 10, lot_id: two, picked: true }],
      [2, lines[1]?.id, 0],
    ];
    const write = {
      ids: [pick],
      vals: { origin: "LYO/MO/00001 T-1", move_ids: [[1, pickAlloy?.id, { move_line_ids: commands }]] },
    };
    expect(await peer.call("stock.picking", "write", write)).toBe(true);
    expect(await peer.call("stock.picking", "button_validate", { ids: [pick] })).toMatchObject({
      res_model: "stock.backorder.confirmation",
    });
    expect(await peer.call("stock.picking", "button_validate", { ids: [pick], context: { skip_backorder: true } })).toBe(true);
    const picks = await read(
      peer,
      "stock.picking",
      [["production_ids", "in", [order]]],
      ["name", "state", "origin", "backorder_id"],
    );
    expect(picks).toEqual([
      { id: pick, name: "LYO/PC/00001", state: "done", origin: "LYO/MO/00001 T-1", backorder_id: false },
      { id: picks[1]?.id, name: "LYO/PC/00002", state: "assigned", origin: "LYO/MO/00001 T-1", backorder_id: pick },
    ]);
    const rest = await read(peer, "stock.move.line", [["picking_id", "=", picks[1]?.id]], ["product_id", "lot_id", "quantity"]);
    expect(rest.map(({ product_id, lot_id, quantity }) => [product_id, lot_id, quantity])).toEqual([
      [screw, false, 80],
      [alloy, one, 10],
    ]);
    expect(await read(peer, "stock.move", [["id", "=", rawAlloy]], ["quantity", "state"])).toEqual([
      { id: rawAlloy, quantity: 10, state: "partially_available" },
    ]);

    // 10 pieces: screws scale, alloy does not while a pick is open; its real lines are written
    await peer.call("mrp.production", "write", {
      ids: [order],
      vals: { qty_producing: 10, lot_producing_ids: [[0, 0, { name: "B-1", product_id: goods }]] },
    });
    expect(await peer.call("mrp.production", "set_qty_producing", { ids: [order] })).toBeNull();
    expect(await read(peer, "stock.move", [["raw_material_production_id", "=", order]], ["quantity", "picked"])).toEqual([
      { id: rawAlloy, quantity: 10, picked: false },
      { id: rawScrew, quantity: 20, picked: true },
    ]);
    const [reserved] = await read(peer, "stock.move.line", [["move_id", "=", rawAlloy]], ["location_id", "location_dest_id"]);
    const second = {
      product_id: alloy,
      product_uom_id: 1,
      lot_id: one,
      quantity: 2,
      location_id: staging,
      location_dest_id: reserved?.location_dest_id,
      picked: true,
    };
    await peer.call("stock.move", "write", {
      ids: [rawAlloy],
      vals: {
        move_line_ids: [
          [1, reserved?.id, { quantity: 3, picked: true }],
          [0, 0, second],
        ],
        picked: true,
      },
    });
    const context = { skip_consumption: true, skip_backorder: true, mo_ids_to_backorder: [order], skip_redirection: true };
    expect(await peer.call("mrp.production", "button_mark_done", { ids: [order], context })).toBe(true);

    const members = await read(
      peer,
      "mrp.production",
      [["origin", "=", "SIM"]],
      ["name", "state", "product_qty", "qty_produced", "backorder_sequence", "picking_ids"],
    );
    const backorder = members[1]?.id;
    const shared = picks.map((row) => row.id);
    expect(members).toEqual([
      {
        id: order,
        name: "LYO/MO/00001-001",
        state: "done",
        product_qty: 10,
        qty_produced: 10,
        backorder_sequence: 1,
        picking_ids: shared,
      },
      {
        id: backorder,
        name: "LYO/MO/00001-002",
        state: "confirmed",
        product_qty: 30,
        qty_produced: 0,
        backorder_sequence: 2,
        picking_ids: shared,
      },
    ]);
    const consumed = await read(
      peer,
      "stock.move.line",
      [["move_id.raw_material_production_id", "in", [order]]],
      ["product_id", "lot_id", "quantity", "state", "produce_line_ids"],
    );
    const [finished] = await read(
      peer,
      "stock.move.line",
      [["move_id.production_id", "=", order]],
      ["lot_id", "quantity", "consume_line_ids"],
    );
    expect(
      consumed.map(({ product_id, lot_id, quantity, state, produce_line_ids }) => [
        product_id,
        lot_id,
        quantity,
        state,
        produce_line_ids,
      ]),
    ).toEqual([
      [alloy, two, 3, "done", [finished?.id]],
      [screw, false, 20, "done", [finished?.id]],
      [alloy, one, 2, "done", [finished?.id]],
    ]);
    expect([...(finished!.consume_line_ids as number[])].sort((a, b) => a - b)).toEqual(consumed.map((line) => line.id));

    // the rest, after its pick; then scrap of what is left at the line
    await peer.call("stock.picking", "button_validate", { ids: [picks[1]?.id], context: { skip_backorder: true } });
    await peer.call("mrp.production", "write", {
      ids: [backorder],
      vals: { qty_producing: 30, lot_producing_ids: [[0, 0, { name: "B-2", product_id: goods }]] },
    });
    await peer.call("mrp.production", "set_qty_producing", { ids: [backorder] });
    expect(
      await peer.call("mrp.production", "button_mark_done", {
        ids: [backorder],
        context: { skip_consumption: true, skip_backorder: true, skip_redirection: true },
      }),
    ).toBe(true);
    const last = await read(
      peer,
      "stock.move.line",
      [["move_id.raw_material_production_id", "=", backorder]],
      ["product_id", "lot_id", "quantity", "state"],
    );
    expect(last.map(({ product_id, lot_id, quantity, state }) => [product_id, lot_id, quantity, state])).toEqual(
      expect.arrayContaining([
        [alloy, two, 7, "done"],
        [alloy, one, 8, "done"],
        [screw, false, 60, "done"],
      ]),
    );
    const [scrap] = await peer.call<number[]>("stock.scrap", "create", {
      vals_list: [{ product_id: alloy, scrap_qty: 1, lot_id: two, location_id: stock, production_id: backorder }],
    });
    expect(await peer.call("stock.scrap", "action_validate", { ids: [scrap] })).toBe(true);

    const quants = await read(
      peer,
      "stock.quant",
      [
        ["product_id", "in", [goods, alloy, screw]],
        ["location_id.usage", "=", "internal"],
        ["quantity", "!=", 0],
      ],
      ["product_id", "location_id", "lot_id", "quantity", "reserved_quantity"],
    );
    const lots = await read(peer, "stock.lot", [["product_id", "=", goods]], ["name"]);
    expect(
      quants.map(({ product_id, location_id, lot_id, quantity, reserved_quantity }) => [
        product_id,
        location_id,
        lot_id,
        quantity,
        reserved_quantity,
      ]),
    ).toEqual([
      [alloy, stock, one, 2, 0],
      [alloy, stock, two, 19, 0],
      [screw, stock, false, 420, 0],
      [goods, stock, lots[0]?.id, 10, 0],
      [goods, stock, lots[1]?.id, 30, 0],
    ]);
    expect(await read(peer, "mrp.production", [["state", "!=", "done"]], ["name"])).toEqual([]);
  });
});
