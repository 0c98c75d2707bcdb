import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Connector } from "../../gateway/connector/connector.ts";
import { deliver, openConnector, outboundOf } from "./driver.ts";
import { readEnvironment } from "./environment.ts";
import { type LossyProxy, startLossyProxy } from "./lossy-proxy.ts";
import { openRpc, type Rpc } from "./rpc.ts";
import { bookedOf, playOrder, type Report, sorted } from "./scenario.ts";
import { confirmOrder, type Plant, setUpPlant } from "./setup.ts";

const environment = readEnvironment();
const at = "2026-11-24T08:00:00.000Z";
const pieces = (value: string) => ({ value, unitCode: "C62", scale: 0 });
const kilos = (value: string) => ({ value, unitCode: "KGM", scale: 3 });

describe.skipIf(!environment)("what a plant reports and Odoo did not plan", () => {
  const { url, database, apiKey, adminApiKey } = environment ?? { url: "", database: "", apiKey: "", adminApiKey: undefined };
  const rpc: Rpc = openRpc(url, database, apiKey);
  let plant: Plant;
  let proxy: LossyProxy;
  let count = 0;

  beforeAll(async () => {
    plant = await setUpPlant(rpc, adminApiKey ? openRpc(url, database, adminApiKey) : undefined);
    proxy = await startLossyProxy(url);
  });
  afterAll(() => proxy?.[Symbol.asyncDispose]());

  const open = (): Connector => openConnector({ url: proxy.url, database, apiKey, warehouses: ["LYO"] });
  const send = async (...reports: Report[]) => {
    for (const report of reports) await deliver(open, report, "lyon");
  };
  const order = async (quantity = 100) => {
    const id = await confirmOrder(rpc, plant, plant.warehouses.LYO, quantity);
    count += 1;
    return { id, moId: `hq-mo-${id}`, prefix: `${plant.run}-E${count}` };
  };
  const pick = (of: { moId: string; prefix: string }, txn: string, item: string, lot: string, qtyPicked: object): Report => ({
    type: "mfg.pick.confirmed.v1",
    operation: "transfer.confirm",
    data: { txnId: `${of.prefix}-${txn}`, taskId: "PK", moId: of.moId, lineNo: 1, item, lot, qtyPicked, pickedAt: at },
  });
  const consume = (
    of: { moId: string; prefix: string },
    txn: string,
    lineNo: number,
    item: string,
    lot: string,
    qty: object,
  ): Report => ({
    type: "mfg.material.consumed.v1",
    operation: "material.consume",
    data: { txnId: `${of.prefix}-${txn}`, lineNo, moId: of.moId, item, lot, qty, use: "Consumed", consumedAt: at },
  });
  const finish = (
    of: { moId: string; prefix: string },
    txn: string,
    good: string,
    final: boolean,
    genealogy: [string, string, object][],
  ): Report => ({
    type: "mfg.finished-goods.confirmed.v1",
    operation: "production.report",
    data: {
      txnId: `${of.prefix}-${txn}`,
      moId: of.moId,
      item: plant.items.housing.code,
      lot: `B-${of.prefix}-${txn}`,
      goodQty: pieces(good),
      final,
      genealogy: genealogy.map(([item, lot, qty], index) => ({ lineNo: index + 1, item, lot, qty })),
      confirmedAt: at,
    },
  });
  const chainOf = async (id: number) => {
    const [row] = await rpc<{ production_group_id: [number, string] }[]>("mrp.production", "read", {
      ids: [id],
      fields: ["production_group_id"],
    });
    return rpc<{ id: number; state: string; product_qty: number }[]>("mrp.production", "search_read", {
      domain: [["production_group_id", "=", row!.production_group_id[0]]],
      fields: ["state", "product_qty"],
      order: "id",
    });
  };
  const kinds = async (id: number, kind: string) =>
    sorted((await bookedOf(rpc, plant, id)).lines)
      .filter((line) => line.kind === kind)
      .map((line) => `${line.item} ${line.lot} ${line.quantity}`);

  it("books a pick beyond what the order asks for as a pick of its own, once", async () => {
    const { alu } = plant.items;
    const { L1, L2 } = plant.lots;
    const of = await order();
    await send(pick(of, "T1", alu.code, L1.name, kilos("12.5")));
    proxy.lose("stock.picking/create");
    await send(pick(of, "T2", alu.code, L2.name, kilos("0.4")));
    expect(proxy.lost()).toBe(1);
    proxy.lose(undefined);
    await send(pick(of, "T2", alu.code, L2.name, kilos("0.4")));
    expect(await kinds(of.id, "pick")).toEqual([`${alu.code} ${L1.name} 12.5`, `${alu.code} ${L2.name} 0.4`]);
    // the two picks, and the backorder with the other component
    const picks = await rpc<{ state: string }[]>("stock.picking", "search_read", {
      domain: [["production_ids", "in", [of.id]]],
      fields: ["state"],
      order: "id",
    });
    expect(picks.map((row) => row.state).sort()).toEqual(["assigned", "done", "done"]);
  });

  it("takes the report's genealogy where nothing else told the consumption, and counts a consumption that follows it only once", async () => {
    const { alu, insert } = plant.items;
    const { L1, I1 } = plant.lots;
    const of = await order();
    await send(pick(of, "T1", alu.code, L1.name, kilos("12.5")), pick(of, "T2", insert.code, I1.name, pieces("200")));
    await send(
      finish(of, "F1", "50", false, [
        [alu.code, L1.name, kilos("6")],
        [insert.code, I1.name, pieces("101")],
      ]),
    );
    await send(consume(of, "F1", 1, alu.code, L1.name, kilos("6")), consume(of, "F1", 2, insert.code, I1.name, pieces("101")));
    await send(
      finish(of, "F2", "50", true, [
        [alu.code, L1.name, kilos("6.5")],
        [insert.code, I1.name, pieces("99")],
      ]),
    );
    await send(consume(of, "F2", 1, alu.code, L1.name, kilos("6.5")), consume(of, "F2", 2, insert.code, I1.name, pieces("99")));
    expect(await kinds(of.id, "consumed")).toEqual(
      [
        `${alu.code} ${L1.name} 6`,
        `${alu.code} ${L1.name} 6.5`,
        `${insert.code} ${I1.name} 101`,
        `${insert.code} ${I1.name} 99`,
      ].sort(),
    );
    expect((await chainOf(of.id)).map((member) => member.state)).toEqual(["done", "done"]);
  });

  it.each(["of an operation", "of the whole order"])(
    "consumes nothing of a component %s that nobody reported, though it stands at the line",
    async (kind) => {
      const { L1, I1 } = plant.lots;
      const aluPart = { item: plant.items.alu.code, lot: L1.name, all: "12.5", amount: kilos };
      const insertPart = { item: plant.items.insert.code, lot: I1.name, all: "200", amount: pieces };
      const [silent, told] = kind === "of an operation" ? [aluPart, insertPart] : [insertPart, aluPart];
      const of = await order();
      for (const [index, part] of [aluPart, insertPart].entries())
        await send(pick(of, `T${index}`, part.item, part.lot, part.amount(part.all)));
      await send(finish(of, "F1", "60", false, [[told.item, told.lot, told.amount("7")]]));
      expect(await kinds(of.id, "consumed")).toEqual([`${told.item} ${told.lot} 7`]);
      await send(consume(of, "C2", 1, silent.item, silent.lot, silent.amount("12")));
      await send(finish(of, "F2", "40", true, [[told.item, told.lot, told.amount("5")]]));
      expect(await kinds(of.id, "consumed")).toEqual(
        [`${silent.item} ${silent.lot} 12`, `${told.item} ${told.lot} 7`, `${told.item} ${told.lot} 5`].sort(),
      );
    },
  );

  it("closes the order short on a final report, with no backorder", async () => {
    const { alu } = plant.items;
    const { L1 } = plant.lots;
    const of = await order();
    await send(pick(of, "T1", alu.code, L1.name, kilos("5")));
    await send(finish(of, "F1", "40", true, [[alu.code, L1.name, kilos("5")]]));
    expect((await chainOf(of.id)).map((member) => member.state)).toEqual(["done"]);
    expect(await kinds(of.id, "finished")).toEqual([`${plant.items.housing.code} B-${of.prefix}-F1 40`]);
    const late = await open().deliver!(outboundOf(finish(of, "F2", "1", true, []), "lyon"), AbortSignal.timeout(20_000));
    expect(late).toMatchObject({ kind: "refused" });
  });

  it("books a component that the order did not plan", async () => {
    const { alu, insert } = plant.items;
    const { L1, I1 } = plant.lots;
    const [spare] = await rpc<number[]>("product.product", "create", {
      vals_list: [{ name: "Spare", default_code: `RM-SPARE-${plant.run}`, type: "consu", is_storable: true, tracking: "none" }],
    });
    const of = await order(10);
    await send(consume(of, "C1", 1, `RM-SPARE-${plant.run}`, "printed on the box", pieces("3")));
    await send(
      finish(of, "F1", "10", true, [
        [alu.code, L1.name, kilos("1.25")],
        [insert.code, I1.name, pieces("20")],
      ]),
    );
    const rows = await rpc<{ quantity: number; state: string }[]>("stock.move.line", "search_read", {
      domain: [
        ["move_id.raw_material_production_id", "=", of.id],
        ["product_id", "=", spare],
      ],
      fields: ["quantity", "state"],
    });
    expect(rows.map(({ quantity, state }) => ({ quantity, state }))).toEqual([{ quantity: 3, state: "done" }]);
  });

  it("waits for an order, an item or a lot that Odoo does not know yet, and refuses what it can never book", async () => {
    const { alu } = plant.items;
    const of = await order(10);
    const signal = AbortSignal.timeout(60_000);
    const outcome = async (report: Report) => open().deliver!(outboundOf(report, "lyon"), signal);
    expect(await outcome(pick({ ...of, moId: "hq-mo-999999999" }, "T1", alu.code, plant.lots.L1.name, kilos("1")))).toMatchObject(
      { kind: "retry" },
    );
    expect(await outcome(pick(of, "T2", "NO-SUCH-ITEM", "x", kilos("1")))).toMatchObject({ kind: "retry" });
    expect(await outcome(pick(of, "T3", alu.code, "NO-SUCH-LOT", kilos("1")))).toMatchObject({ kind: "retry" });
    expect(await outcome(pick(of, "T4", alu.code, plant.lots.L1.name, { value: "1", unitCode: "GRM", scale: 0 }))).toMatchObject({
      kind: "refused",
    });
    expect(await outcome(pick(of, "T5", alu.code, plant.lots.L1.name, pieces("1")))).toMatchObject({ kind: "refused" });
    expect(await outcome(pick({ ...of, moId: "sap-1" }, "T6", alu.code, plant.lots.L1.name, kilos("1")))).toMatchObject({
      kind: "refused",
    });
    expect((await bookedOf(rpc, plant, of.id)).lines).toEqual([]);
  });

  it("books a whole order once when requests are cut off before Odoo sees them", async () => {
    for (const call of [
      "stock.picking/button_validate",
      "mrp.production/write",
      "mrp.production/button_mark_done",
      "stock.scrap/action_validate",
    ]) {
      proxy.cut(call);
    }
    const { booked, expected } = await playOrder(rpc, plant, "LYO", `${plant.run}-CUT`, (report) => send(report));
    expect(proxy.lost()).toBeGreaterThan(8);
    proxy.lose(undefined);
    expect(booked).toEqual(expected);
  });

  it("takes Odoo's own figures where nobody reports consumption, and never makes goods from nothing", async () => {
    const { alu, insert, housing } = plant.items;
    const { L1, I1 } = plant.lots;
    const of = await order();
    const early = await open().deliver!(outboundOf(finish(of, "F0", "40", false, []), "lyon"), AbortSignal.timeout(20_000));
    expect(early).toMatchObject({ kind: "refused" });
    await send(pick(of, "T1", alu.code, L1.name, kilos("12.5")), pick(of, "T2", insert.code, I1.name, pieces("200")));
    await send(finish(of, "F1", "40", false, []));
    expect(await kinds(of.id, "consumed")).toEqual([`${alu.code} ${L1.name} 5`, `${insert.code} ${I1.name} 80`].sort());
    expect(await kinds(of.id, "finished")).toEqual([`${housing.code} B-${of.prefix}-F1 40`]);
  });

  it("closes what is left when the last report has no pieces", async () => {
    const { alu } = plant.items;
    const of = await order();
    await send(pick(of, "T1", alu.code, plant.lots.L1.name, kilos("5")));
    await send(finish(of, "F1", "40", false, [[alu.code, plant.lots.L1.name, kilos("5")]]));
    await send(finish(of, "F2", "0", true, []), finish(of, "F2", "0", true, []));
    expect((await chainOf(of.id)).map((member) => member.state)).toEqual(["done", "cancel"]);
  });
});
