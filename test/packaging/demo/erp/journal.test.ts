import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startPeer } from "./client.ts";
import { closing, openOrder, pickAll, setProduced, value } from "./fixture.ts";

const tag = (type: string, key: string, details: Record<string, string> = {}) =>
  `<plantgate?${new URLSearchParams({ site: "lyon", type, key, ...details })}&v=1@plantgate>`;
const note = (model: string, message_id: string) => [0, 0, { model, message_type: "comment", message_id, body: "<p>x</p>" }];

describe("the simulator's own account", () => {
  it("tells each release and each effect once, with the message it came from, and is on disk when it stops", async () => {
    const folder = mkdtempSync(join(tmpdir(), "erp-"));
    try {
      const logFile = join(folder, "erp.ndjson");
      const peer = await startPeer({ logFile });
      const order = await openOrder(peer, 10);
      await peer.call("stock.picking", "write", {
        ids: [order.pick],
        vals: { message_ids: [note("stock.picking", tag("mfg.pick.confirmed.v1", "T-1/1"))] },
      });
      await pickAll(peer, order);
      await setProduced(peer, order, 10, "B-1");
      const consumed = (key: string, quantity: string) =>
        note(
          "mrp.production",
          tag("mfg.material.consumed.v1", key, { item: "RM-ALU", lot: "L-2291", quantity, unitCode: "KGM" }),
        );
      const finished = note("mrp.production", tag("mfg.finished-goods.confirmed.v1", "F-1"));
      await peer.call("mrp.production", "write", {
        ids: [order.id],
        vals: { message_ids: [consumed("C-1/1", "1"), consumed("C-2/1", "0.25"), finished] },
      });
      await peer.call("mrp.production", "button_mark_done", { ids: [order.id], context: closing });
      await peer.erp.stop();

      const entries = readFileSync(logFile, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      expect(entries[0]).toMatchObject({
        kind: "released",
        moId: "hq-mo-1",
        orderName: "LYO/MO/00001",
        warehouse: "LYO",
        item: "FG-HSG",
        quantity: 10,
        revision: 1,
      });
      const effects = entries.filter((entry) => entry.kind === "booked" && entry.what !== "note");
      expect(effects.map(({ what, moId, item, lot, quantity, txns }) => [what, moId, item, lot, quantity, txns])).toEqual([
        ["pick", "hq-mo-1", "RM-ALU", "L-2291", 1.25, ["T-1/1"]],
        ["pick", "hq-mo-1", "RM-SCR", "L-5510", 20, ["T-1/1"]],
        ["consumption", "hq-mo-1", "RM-ALU", "L-2291", 1.25, ["C-1/1", "C-2/1"]],
        // no consumption of screws was noted, so it is the report that speaks for it
        ["consumption", "hq-mo-1", "RM-SCR", "L-5510", 20, ["F-1"]],
        ["finished", "hq-mo-1", "FG-HSG", "B-1", 10, ["F-1"]],
      ]);
      expect(entries.filter((entry) => entry.what === "note").map((entry) => entry.txn)).toEqual([
        "T-1/1",
        "C-1/1",
        "C-2/1",
        "F-1",
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("shows a doubled call as a doubled line", async () => {
    await using peer = await startPeer();
    const order = await openOrder(peer);
    await pickAll(peer, order);
    const place = await value<[number, string]>(peer, "mrp.production", order.id, "location_src_id");
    const [lot] = await peer.call<number[]>("stock.lot", "search", { domain: [["name", "=", "L-2291"]] });
    const values = {
      product_id: order.product["RM-ALU"],
      scrap_qty: 1,
      lot_id: lot,
      location_id: place[0],
      production_id: order.id,
      message_ids: [note("stock.scrap", tag("mfg.scrap.reported.v1", "S-1"))],
    };
    const ids = await peer.call("stock.scrap", "create", { vals_list: [values] });
    for (let time = 0; time < 2; time++) await peer.call("stock.scrap", "action_validate", { ids });
    const scraps = peer.erp.journal().filter((entry) => entry.kind === "booked" && entry.what === "scrap");
    expect(scraps).toMatchObject([
      { txn: "S-1", quantity: 1 },
      { txn: "S-1", quantity: 1 },
    ]);
  });

  it("says nothing of a call that failed", async () => {
    await using peer = await startPeer();
    const order = await openOrder(peer);
    const vals = {
      message_ids: [note("mrp.production", tag("mfg.finished-goods.confirmed.v1", "F-1"))],
      move_raw_ids: [[2, 4711, 0]],
    };
    await peer.post("mrp.production", "write", { ids: [order.id], vals });
    expect(peer.erp.journal().map((entry) => entry.kind)).toEqual(["released"]);
  });

  it("raises the revision of an order whose quantity a planner changes, with its pick", async () => {
    await using peer = await startPeer();
    const order = await openOrder(peer, 100);
    peer.erp.changeQuantity(order.id, 200);
    expect(peer.erp.journal()).toMatchObject([
      { revision: 1, quantity: 100 },
      { revision: 2, quantity: 200 },
    ]);
    expect(await value(peer, "stock.move", order.picked["RM-ALU"] ?? 0, "product_uom_qty")).toBe(25);
  });
});

describe("a lost answer", () => {
  it("comes from a call that was carried out", async () => {
    await using peer = await startPeer();
    const order = await openOrder(peer);
    peer.erp.dropAnswer({ model: "stock.picking", method: "button_validate", nth: 2 });
    expect(await peer.call("stock.picking", "button_validate", { ids: [order.pick + 0], context: {} })).toBe(true);
    const next = await openOrder(peer);
    await expect(peer.call("stock.picking", "button_validate", { ids: [next.pick] })).rejects.toThrow("fetch failed");
    expect(await value(peer, "stock.picking", next.pick, "state")).toBe("done");
    expect(await peer.call("stock.picking", "button_validate", { ids: [next.pick] })).toBe(true);
  });
});
