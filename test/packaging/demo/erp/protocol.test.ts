import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Peer, startPeer } from "./client.ts";
import { openOrder, value } from "./fixture.ts";

let peer: Peer;
beforeEach(async () => {
  peer = await startPeer();
});
afterEach(() => peer.erp.stop());

describe("errors have Odoo's statuses and class names", () => {
  const order = ["mrp.production", "read"] as const;
  it.each([
    ["a wrong key", ...order, { ids: [1] }, { authorization: "bearer wrong" }, 401, "werkzeug.exceptions.Unauthorized"],
    ["a private method", "mrp.production", "_compute", {}, {}, 403, "odoo.exceptions.AccessError"],
    ["a model for administrators", "decimal.precision", "search_read", {}, {}, 403, "odoo.exceptions.AccessError"],
    ["an unknown model", "mrp.nothing", "read", {}, {}, 404, "werkzeug.exceptions.NotFound"],
    ["an unknown method", "mrp.production", "nothing", {}, {}, 404, "werkzeug.exceptions.NotFound"],
    [
      "a write to a record that is gone",
      "mrp.production",
      "write",
      { ids: [99], vals: { origin: "x" } },
      {},
      404,
      "odoo.exceptions.MissingError",
    ],
    ["an unknown argument", ...order, { ids: [1], bogus: 1 }, {}, 422, "werkzeug.exceptions.UnprocessableEntity"],
    ["a missing argument", "stock.lot", "create", { vals: {} }, {}, 422, "werkzeug.exceptions.UnprocessableEntity"],
    [
      "ids on a method of the model",
      "mrp.production",
      "search",
      { ids: [1], domain: [] },
      {},
      422,
      "werkzeug.exceptions.UnprocessableEntity",
    ],
    [
      "a lot twice",
      "stock.lot",
      "create",
      { vals_list: [{ name: "L-2291", product_id: 3 }] },
      {},
      422,
      "odoo.exceptions.ValidationError",
    ],
    ["an unknown field", ...order, { ids: [1], fields: ["bogus"] }, {}, 500, "builtins.ValueError"],
    ["a dotted field", ...order, { ids: [1], fields: ["warehouse_id.code"] }, {}, 500, "builtins.ValueError"],
    ["an unknown field in a domain", "mrp.production", "search", { domain: [["bogus", "=", 1]] }, {}, 500, "builtins.ValueError"],
    ["a bad selection", "mrp.production", "write", { ids: [1], vals: { priority: "9" } }, {}, 500, "builtins.ValueError"],
    [
      "a date with T",
      "mrp.production",
      "write",
      { ids: [1], vals: { date_deadline: "2026-12-01T06:00:00" } },
      {},
      500,
      "builtins.ValueError",
    ],
    [
      "a date with Z",
      "mrp.production",
      "write",
      { ids: [1], vals: { date_deadline: "2026-12-01T06:00:00Z" } },
      {},
      500,
      "builtins.ValueError",
    ],
    [
      "a date with Z in a domain",
      "mrp.production",
      "search",
      { domain: [["write_date", ">", "2026-12-01T06:00:00Z"]] },
      {},
      500,
      "builtins.ValueError",
    ],
    ["malformed JSON", ...order, "{", {}, 400, "werkzeug.exceptions.BadRequest"],
  ])("for %s", async (_case, model, method, body, headers, status, name) => {
    peer.erp.createOrder({ plant: "LYO", item: "FG-HSG", quantity: 10 });
    const answer = await peer.post(model, method, body, headers as Record<string, string>);
    expect(answer.status).toBe(status);
    expect(answer.json).toEqual({
      name,
      message: expect.any(String),
      arguments: expect.any(Array),
      context: {},
      debug: expect.stringContaining("Traceback"),
    });
  });

  it("answers HTML for a wrong database and for a wrong content type", async () => {
    const database = await peer.post("mrp.production", "search_read", {}, { "x-odoo-database": "nope" });
    const media = await peer.post("mrp.production", "search_read", {}, { "content-type": "text/plain" });
    expect([database.status, database.type, media.status, media.type].join(" ")).toMatch(/^404 text\/html.* 415 text\/html/i);
  });
});

describe("values have Odoo's forms", () => {
  it("reads a many2one as id and name, empty as false, and datetimes as naive UTC", async () => {
    const { id } = await openOrder(peer);
    const [row] = await peer.rows("mrp.production", [["id", "=", id]], ["product_id", "origin", "date_deadline", "write_date"]);
    expect(row).toEqual({
      id,
      product_id: [1, "[FG-HSG] Pump housing"],
      origin: false,
      date_deadline: false,
      write_date: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    });
    expect(await peer.call("mrp.production", "search_read", { domain: [], fields: ["product_id"], load: null })).toEqual([
      { id, product_id: 1 },
    ]);
  });

  it("nests what web_search_read specifies", async () => {
    await openOrder(peer);
    const specification = { name: {}, picking_type_id: { fields: { warehouse_id: { fields: { code: {} } } } } };
    expect(await peer.call("mrp.production", "web_search_read", { domain: [], specification })).toEqual({
      length: 1,
      records: [{ id: 1, name: "LYO/MO/00001", picking_type_id: { id: 2, warehouse_id: { id: 1, code: "LYO" } } }],
    });
  });

  it("compares datetimes in domains by whole seconds, so that 'after the last seen' loses its second", async () => {
    const { id } = await openOrder(peer);
    const seen = await value<string>(peer, "mrp.production", id, "write_date");
    const search = (operator: string) => peer.call("mrp.production", "search", { domain: [["write_date", operator, seen]] });
    expect([await search(">"), await search(">="), await search("=")]).toEqual([[], [id], [id]]);
  });

  it("understands dotted domains, or, not, in and ilike", async () => {
    peer.erp.createOrder({ plant: "LYO", item: "FG-HSG", quantity: 10, origin: "SO-1" });
    peer.erp.createOrder({ plant: "POR", item: "FG-CVR", quantity: 20 });
    const search = (...domain: unknown[]) => peer.call("mrp.production", "search", { domain, order: "id" });
    expect(await search(["warehouse_id.code", "=", "POR"])).toEqual([2]);
    expect(await search(["state", "in", ["confirmed", "progress"]], ["warehouse_id.code", "in", ["LYO"]])).toEqual([1]);
    expect(await search("|", ["origin", "ilike", "so-"], ["id", "=", 2])).toEqual([1, 2]);
    expect(await search("!", ["origin", "=", "SO-1"])).toEqual([2]);
    expect(await search(["move_raw_ids.product_id.default_code", "=", "RM-SEAL"])).toEqual([2]);
  });

  it("answers true and does nothing for a method of records without ids, and nothing for ids that are text", async () => {
    const { id } = await openOrder(peer);
    expect(await peer.call("mrp.production", "write", { vals: { origin: "x" } })).toBe(true);
    expect(await peer.call("mrp.production", "button_mark_done", {})).toBe(true);
    expect(await peer.call("mrp.production", "read", { ids: [String(id)], fields: ["name"] })).toEqual([]);
    expect(await value(peer, "mrp.production", id, "origin")).toBe(false);
  });

  it("leaves out what is gone when it is read", async () => {
    expect(await peer.call("mrp.production", "read", { ids: [99], fields: ["name"] })).toEqual([]);
  });

  it("creates a list in one transaction: one bad row, and none is there", async () => {
    const vals_list = [
      { name: "L-1", product_id: 3 },
      { name: "L-2291", product_id: 3 },
    ];
    expect((await peer.post("stock.lot", "create", { vals_list })).status).toBe(422);
    expect(await peer.call("stock.lot", "search_count", { domain: [["name", "=", "L-1"]] })).toBe(0);
    expect(await peer.call("stock.lot", "create", { vals_list: { name: "L-1", product_id: 3 } })).toEqual([expect.any(Number)]);
  });

  it("takes a failing write back whole", async () => {
    const order = await openOrder(peer);
    const vals = {
      origin: "changed",
      move_raw_ids: [
        [1, order.raw["RM-ALU"], { product_uom_qty: 99 }],
        [2, 4711, 0],
      ],
    };
    expect((await peer.post("mrp.production", "write", { ids: [order.id], vals })).status).toBe(404);
    expect(await value(peer, "mrp.production", order.id, "origin")).toBe(false);
    expect(await value(peer, "stock.move", order.raw["RM-ALU"] ?? 0, "product_uom_qty")).toBe(12.5);
  });

  it("does not touch an order's write date when a component's demand changes, but its pick", async () => {
    const order = await openOrder(peer);
    await peer.call("stock.move", "write", { ids: [order.raw["RM-ALU"]], vals: { product_uom_qty: 20 } });
    expect(await value(peer, "stock.move", order.picked["RM-ALU"] ?? 0, "product_uom_qty")).toBe(20);
  });
});
