import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Peer, startPeer } from "./client.ts";
import { closing, openOrder, pickAll, setProduced, stockOf, value } from "./fixture.ts";

let peer: Peer;
beforeEach(async () => {
  peer = await startPeer();
});
afterEach(() => peer.erp.stop());

const done = (id: number, context: Record<string, unknown> = closing) =>
  peer.call("mrp.production", "button_mark_done", { ids: [id], context });
const linesOf = (domain: unknown[]) =>
  peer.call<
    {
      id: number;
      lot_id: [number, string] | false;
      quantity: number;
      move_id: unknown;
      consume_line_ids: number[];
      location_id: [number, string];
      location_dest_id: [number, string];
    }[]
  >("stock.move.line", "search_read", {
    domain,
    fields: ["lot_id", "quantity", "move_id", "consume_line_ids", "location_id", "location_dest_id"],
  });

describe("closing an order", () => {
  it("asks about consumption and about a backorder with a 200 and leaves the order open, where the context does not say", async () => {
    const order = await openOrder(peer);
    await peer.call("mrp.production", "write", { ids: [order.id], vals: { qty_producing: 40 } });
    expect(await done(order.id, {})).toMatchObject({ type: "ir.actions.act_window", res_model: "mrp.consumption.warning" });
    expect(await done(order.id, { skip_consumption: true })).toMatchObject({ res_model: "mrp.production.backorder" });
    expect(await value(peer, "mrp.production", order.id, "state")).toBe("progress");
  });

  it("lets a component be taken out of its work order, and cancels it when nothing of it is picked", async () => {
    const order = await openOrder(peer);
    const [component] = await value<number[]>(peer, "mrp.production", order.id, "move_raw_ids");
    await peer.call("stock.move", "write", { ids: [component], vals: { manual_consumption: false, workorder_id: false } });
    expect(await value(peer, "stock.move", component ?? 0, "workorder_id")).toBe(false);
    await peer.call("mrp.production", "write", { ids: [order.id], vals: { qty_producing: 40 } });
    expect(await done(order.id)).toBe(true);
    expect(await value(peer, "stock.move", component ?? 0, "state")).toBe("cancel");
  });

  it("makes up a lot for the product when none is written, and keeps it though a wizard follows", async () => {
    const order = await openOrder(peer);
    await peer.call("mrp.production", "write", { ids: [order.id], vals: { qty_producing: 40 } });
    await done(order.id, {});
    expect(await value<number[]>(peer, "mrp.production", order.id, "lot_producing_ids")).toHaveLength(1);
  });

  it("renames the order and opens another with a new id, in the same group and with the same picks", async () => {
    const order = await openOrder(peer);
    await pickAll(peer, order);
    await setProduced(peer, order, 60, "B-1");
    expect(await done(order.id, { ...closing, mo_ids_to_backorder: [order.id] })).toBe(true);
    const rows = await peer.rows("mrp.production", [], ["name", "state", "product_qty", "picking_ids"]);
    expect(rows).toEqual([
      { id: order.id, name: `${order.name}-001`, state: "done", product_qty: 60, picking_ids: [order.pick] },
      { id: order.id + 1, name: `${order.name}-002`, state: "confirmed", product_qty: 40, picking_ids: [order.pick] },
    ]);
  });

  it("erases the genealogy and bumps the write date when it is repeated, and moves no stock", async () => {
    const order = await openOrder(peer);
    await pickAll(peer, order);
    await setProduced(peer, order, 100, "B-1");
    await done(order.id);
    const before = await stockOf(peer, "FG-HSG");
    expect((await linesOf([["move_id.production_id", "=", order.id]]))[0]?.consume_line_ids).toHaveLength(2);
    expect(await done(order.id)).toBe(true);
    expect((await linesOf([["move_id.production_id", "=", order.id]]))[0]?.consume_line_ids).toEqual([]);
    expect(await linesOf([["produce_line_ids", "!=", false]])).toEqual([]);
    expect(await stockOf(peer, "FG-HSG")).toEqual(before);
  });

  it("answers 422 when a backorder is asked for again", async () => {
    const order = await openOrder(peer);
    await pickAll(peer, order);
    await setProduced(peer, order, 60, "B-1");
    const context = { ...closing, mo_ids_to_backorder: [order.id] };
    await done(order.id, context);
    const again = await peer.post("mrp.production", "button_mark_done", { ids: [order.id], context });
    expect([again.status, again.json]).toEqual([422, expect.objectContaining({ name: "odoo.exceptions.ValidationError" })]);
    expect(await peer.call("mrp.production", "search_count", { domain: [] })).toBe(2);
  });

  it("makes goods from nothing when the components were not picked and nobody may be asked", async () => {
    const order = await openOrder(peer);
    await peer.call("mrp.production", "write", { ids: [order.id], vals: { qty_producing: 100 } });
    await done(order.id);
    expect(await value(peer, "stock.move", order.raw["RM-ALU"] ?? 0, "state")).toBe("cancel");
    expect(await linesOf([["move_id.raw_material_production_id", "=", order.id]])).toEqual([]);
    expect(Object.values(await stockOf(peer, "FG-HSG"))).toEqual([100]);
  });

  it("scales no tracked component while a pick of the group is open", async () => {
    const order = await openOrder(peer);
    await setProduced(peer, order, 50, "B-1");
    expect(await value(peer, "stock.move", order.raw["RM-ALU"] ?? 0, "quantity")).toBe(0);
    await pickAll(peer, order);
    await peer.call("mrp.production", "set_qty_producing", { ids: [order.id] });
    expect(await value(peer, "stock.move", order.raw["RM-ALU"] ?? 0, "quantity")).toBe(6.25);
  });

  it("takes a written state and moves nothing", async () => {
    const order = await openOrder(peer);
    expect(await peer.call("mrp.production", "write", { ids: [order.id], vals: { state: "done" } })).toBe(true);
    expect(await stockOf(peer, "FG-HSG")).toEqual({});
  });
});

describe("picks", () => {
  const write = (pick: number, move: number, commands: unknown[]) =>
    peer.call("stock.picking", "write", { ids: [pick], vals: { move_ids: [[1, move, { move_line_ids: commands }]] } });

  it("asks about a backorder with a 200 and does nothing, where the context does not say", async () => {
    const order = await openOrder(peer);
    const move = order.picked["RM-ALU"] ?? 0;
    const [line] = await linesOf([["move_id", "=", move]]);
    await write(order.pick, move, [[1, line?.id, { quantity: 5, picked: true }]]);
    expect(await peer.call("stock.picking", "button_validate", { ids: [order.pick] })).toMatchObject({
      res_model: "stock.backorder.confirmation",
    });
    expect(await value(peer, "stock.picking", order.pick, "state")).toBe("assigned");
  });

  it("validates once however often it is asked, keeps its name and leaves the rest to a new picking with origin and note copied", async () => {
    const order = await openOrder(peer);
    const move = order.picked["RM-ALU"] ?? 0;
    const [line] = await linesOf([["move_id", "=", move]]);
    await peer.call("stock.picking", "write", { ids: [order.pick], vals: { note: "from the WMS" } });
    await write(order.pick, move, [[1, line?.id, { quantity: 5, picked: true }]]);
    for (let time = 0; time < 3; time++) {
      expect(await peer.call("stock.picking", "button_validate", { ids: [order.pick], context: { skip_backorder: true } })).toBe(
        true,
      );
    }
    expect(await peer.rows("stock.picking", [], ["name", "state", "backorder_id", "origin", "note"])).toEqual([
      { id: order.pick, name: "LYO/PC/00001", state: "done", backorder_id: false, origin: order.name, note: "from the WMS" },
      {
        id: order.pick + 1,
        name: "LYO/PC/00002",
        state: "assigned",
        backorder_id: [order.pick, "LYO/PC/00001"],
        origin: order.name,
        note: "from the WMS",
      },
    ]);
    expect((await stockOf(peer, "RM-ALU"))["Pre-Production L-2291"]).toBe(5);
  });

  it("books a lot that is not there and lets its stock go negative", async () => {
    const order = await openOrder(peer);
    const move = order.picked["RM-ALU"] ?? 0;
    const [lot] = await peer.call<number[]>("stock.lot", "create", {
      vals_list: [{ name: "L-0001", product_id: order.product["RM-ALU"] }],
    });
    const [line] = await linesOf([["move_id", "=", move]]);
    await write(order.pick, move, [[1, line?.id, { lot_id: lot, quantity: 12.5, picked: true }]]);
    await peer.call("stock.picking", "button_validate", { ids: [order.pick], context: { skip_backorder: true } });
    expect((await stockOf(peer, "RM-ALU"))["Stock L-0001"]).toBe(-12.5);
  });

  it("books stock anew when a done line is given another quantity", async () => {
    const order = await openOrder(peer);
    await pickAll(peer, order);
    const [line] = await linesOf([["move_id", "=", order.picked["RM-ALU"]]]);
    await peer.call("stock.move.line", "write", { ids: [line?.id], vals: { quantity: 20 } });
    expect((await stockOf(peer, "RM-ALU"))["Pre-Production L-2291"]).toBe(20);
  });

  it("orphans lines with [5,0,0], leaks their reservation, and doubles stock on a done pick", async () => {
    const order = await openOrder(peer);
    const move = order.picked["RM-ALU"] ?? 0;
    const [line] = await linesOf([["move_id", "=", move]]);
    const fresh = {
      product_id: order.product["RM-ALU"],
      lot_id: line?.lot_id ? line.lot_id[0] : 0,
      quantity: 12.5,
      picking_id: order.pick,
      location_id: line?.location_id[0],
      location_dest_id: line?.location_dest_id[0],
      picked: true,
    };
    await write(order.pick, move, [
      [5, 0, 0],
      [0, 0, fresh],
    ]);
    const reserved = async () => (await peer.rows("stock.quant", [["id", "=", 1]], ["reserved_quantity"]))[0]?.reserved_quantity;
    expect(await reserved()).toBe(25);
    expect((await linesOf([["id", "=", line?.id]]))[0]?.move_id).toBe(false);
    await peer.call("stock.picking", "button_validate", { ids: [order.pick], context: { skip_backorder: true } });
    await write(order.pick, move, [
      [5, 0, 0],
      [0, 0, fresh],
    ]);
    expect((await stockOf(peer, "RM-ALU"))["Pre-Production L-2291"]).toBe(25);
  });

  it("answers 404 MissingError when a line is deleted a second time", async () => {
    const order = await openOrder(peer);
    const move = order.picked["RM-ALU"] ?? 0;
    const [line] = await linesOf([["move_id", "=", move]]);
    await write(order.pick, move, [[2, line?.id, 0]]);
    const again = await peer.post("stock.picking", "write", {
      ids: [order.pick],
      vals: { move_ids: [[1, move, { move_line_ids: [[2, line?.id, 0]] }]] },
    });
    expect([again.status, again.json]).toEqual([404, expect.objectContaining({ name: "odoo.exceptions.MissingError" })]);
  });
});

describe("scrap and stock", () => {
  it("scraps twice when it is validated twice, on the order but not among its components", async () => {
    const order = await openOrder(peer);
    await pickAll(peer, order);
    const place = await value<[number, string]>(peer, "mrp.production", order.id, "location_src_id");
    const lot = (await linesOf([["move_id", "=", order.picked["RM-ALU"]]]))[0]?.lot_id;
    const [scrap] = await peer.call<number[]>("stock.scrap", "create", {
      vals_list: [
        {
          product_id: order.product["RM-ALU"],
          scrap_qty: 0.4,
          lot_id: lot ? lot[0] : 0,
          location_id: place[0],
          production_id: order.id,
        },
      ],
    });
    for (let time = 0; time < 2; time++) expect(await peer.call("stock.scrap", "action_validate", { ids: [scrap] })).toBe(true);
    expect(await peer.rows("stock.scrap", [], ["name", "state"])).toEqual([{ id: scrap, name: "SP/00002", state: "done" }]);
    expect((await stockOf(peer, "RM-ALU"))["Pre-Production L-2291"]).toBe(11.7);
    expect(await peer.call("stock.move", "search_count", { domain: [["raw_material_production_id", "=", order.id]] })).toBe(4);
    expect(await value(peer, "mrp.production", order.id, "move_raw_ids")).toHaveLength(2);
  });

  it("asks instead of scrapping what is not there, and stays a draft", async () => {
    const order = await openOrder(peer);
    const place = await value<[number, string]>(peer, "mrp.production", order.id, "location_src_id");
    const [scrap] = await peer.call<number[]>("stock.scrap", "create", {
      vals_list: [{ product_id: order.product["RM-ALU"], scrap_qty: 1, location_id: place[0] }],
    });
    expect(await peer.call("stock.scrap", "action_validate", { ids: [scrap] })).toMatchObject({
      res_model: "stock.warn.insufficient.qty.scrap",
    });
    expect(await value(peer, "stock.scrap", scrap ?? 0, "state")).toBe("draft");
  });

  it("counts stock absolutely in inventory mode, and does nothing without it", async () => {
    const count = (inventory_quantity_auto_apply: number, context: object) =>
      peer.call("stock.quant", "write", { ids: [1], vals: { inventory_quantity_auto_apply }, context });
    await count(25, {});
    expect(await value(peer, "stock.quant", 1, "quantity")).toBe(1_000_000);
    for (let time = 0; time < 2; time++) await count(25, { inventory_mode: true });
    expect(await value(peer, "stock.quant", 1, "quantity")).toBe(25);
  });
});
