import { beforeAll, describe, expect, it } from "vitest";
import type { Release } from "../../gateway/connector/odoo/release.ts";
import { messageTypeOf } from "../../protocol/index.ts";
import { deliver, openConnector, RecordingInlet } from "./driver.ts";
import { readEnvironment } from "./environment.ts";
import { openRpc, type Rpc } from "./rpc.ts";
import { confirmOrder, type Plant, setUpPlant } from "./setup.ts";

const environment = readEnvironment();

describe.skipIf(!environment)("orders are released", () => {
  const { url, database, apiKey, adminApiKey } = environment ?? { url: "", database: "", apiKey: "", adminApiKey: undefined };
  const rpc: Rpc = openRpc(url, database, apiKey);
  let plant: Plant;

  beforeAll(async () => {
    plant = await setUpPlant(rpc, adminApiKey ? openRpc(url, database, adminApiKey) : undefined);
  });

  const setting = (inlet: RecordingInlet) => ({ url, database, apiKey, warehouses: ["LYO", "POR"], inlet, flows: ["release"] });
  const of = (inlet: RecordingInlet, id: number) =>
    inlet.inputs.map((input) => input.decoded as Release).filter((release) => release.moId === `hq-mo-${id}`);

  async function until<T>(look: () => T | undefined | false): Promise<T> {
    const deadline = AbortSignal.timeout(60_000);
    for (;;) {
      const found = look();
      if (found) return found;
      deadline.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it("hands over an order of each plant with its warehouse, components and operations, once, also over a restart", async () => {
    const [lyon, porto] = [
      await confirmOrder(rpc, plant, plant.warehouses.LYO, 100),
      await confirmOrder(rpc, plant, plant.warehouses.POR, 50),
    ];
    const inlet = new RecordingInlet();
    const first = openConnector(setting(inlet));
    await first.start(new AbortController().signal);
    const released = await until(() => of(inlet, lyon)[0]);
    await until(() => of(inlet, porto)[0]);
    expect(first.report().state).not.toBe("down");
    await first.stop();

    expect(messageTypeOf("mfg.production-order.released.v1").data.parse(released)).toEqual(released);
    expect(released).toMatchObject({
      revision: 1,
      item: plant.items.housing.code,
      warehouse: "LYO",
      quantity: { value: "100", unitCode: "C62" },
      needBy: "2026-12-01T06:30:00.000Z",
      priority: 0,
      operations: [{ seq: 10, workCentre: "PRESS-7", minutes: 1, name: "Press" }],
    });
    expect(released.components.map((line) => [line.item, line.quantity.value, line.quantity.unitCode])).toEqual([
      [plant.items.alu.code, "12.5", "KGM"],
      [plant.items.insert.code, "200", "C62"],
    ]);
    expect(of(inlet, porto)[0]).toMatchObject({ warehouse: "POR", quantity: { value: "50" } });

    // a new connector with the same cursors reads all open orders, and finds that the plants know them
    const after = await confirmOrder(rpc, plant, plant.warehouses.LYO, 10);
    const second = openConnector(setting(inlet));
    await second.start(new AbortController().signal);
    await until(() => of(inlet, after)[0]);
    await second.stop();
    expect(of(inlet, lyon)).toHaveLength(1);
    expect(of(inlet, porto)).toHaveLength(1);
  });

  it("raises the revision when a component changes, though that leaves the order's own write_date as it was", async () => {
    const order = await confirmOrder(rpc, plant, plant.warehouses.LYO, 100);
    const inlet = new RecordingInlet();
    const connector = openConnector(setting(inlet));
    await connector.start(new AbortController().signal);
    const first = await until(() => of(inlet, order)[0]);
    const line = first.components[0]!.lineNo;
    await rpc("stock.move", "write", { ids: [line], vals: { product_uom_qty: 13.75 } });
    const second = await until(() => of(inlet, order)[1]);
    await rpc("mrp.production", "write", { ids: [order], vals: { priority: "1" } });
    const third = await until(() => of(inlet, order)[2]);
    await connector.stop();
    expect([first.revision, second.revision, third.revision]).toEqual([1, 2, 3]);
    expect(second.components[0]).toMatchObject({ lineNo: line, quantity: { value: "13.75" } });
    expect(third.priority).toBe(1);
  });

  it("releases the parts of an order that was split before work began, and no backorder of one that was begun", async () => {
    const order = await confirmOrder(rpc, plant, plant.warehouses.LYO, 100);
    const inlet = new RecordingInlet();
    const connector = openConnector(setting(inlet));
    await connector.start(new AbortController().signal);
    await until(() => of(inlet, order)[0]);
    const [wizard] = await rpc<number[]>("mrp.production.split", "create", {
      vals_list: [
        {
          production_id: order,
          production_detailed_vals_ids: [
            [0, 0, { quantity: 60, date: "2026-11-30 06:00:00" }],
            [0, 0, { quantity: 40, date: "2026-11-30 06:00:00" }],
          ],
        },
      ],
    });
    await rpc("mrp.production.split", "action_split", { ids: [wizard] });
    await until(() => of(inlet, order)[1]);
    const group = async () => {
      const [row] = await rpc<{ production_group_id: [number, string] }[]>("mrp.production", "read", {
        ids: [order],
        fields: ["production_group_id"],
      });
      return rpc<{ id: number }[]>("mrp.production", "search_read", {
        domain: [["production_group_id", "=", row!.production_group_id[0]]],
        fields: ["name"],
        order: "id",
      });
    };
    const part = (await group())[1]!.id;
    expect(await until(() => of(inlet, part)[0])).toMatchObject({ revision: 1, quantity: { value: "40" } });
    expect(of(inlet, order)[1]).toMatchObject({ revision: 2, quantity: { value: "60" } });

    const report = (txnId: string, moId: number, good: string) =>
      deliver(
        () => openConnector({ ...setting(inlet), flows: [] }),
        {
          type: "mfg.finished-goods.confirmed.v1",
          operation: "production.report",
          data: {
            txnId: `${txnId}-${plant.run}`,
            moId: `hq-mo-${moId}`,
            item: plant.items.housing.code,
            lot: `${txnId}-${plant.run}`,
            goodQty: { value: good, unitCode: "C62", scale: 0 },
            final: false,
            genealogy: [
              { lineNo: 1, item: plant.items.alu.code, lot: plant.lots.L1.name, qty: { value: "1", unitCode: "KGM", scale: 0 } },
            ],
            confirmedAt: "2026-11-24T08:00:00.000Z",
          },
        },
        "lyon",
      );
    await report("SP1", order, "20");
    await report("SP2", order, "20");
    const members = await group();
    expect(members).toHaveLength(4);
    const marker = await confirmOrder(rpc, plant, plant.warehouses.LYO, 1);
    await until(() => of(inlet, marker)[0]);
    await connector.stop();
    expect(members.slice(2).flatMap((member) => of(inlet, member.id))).toEqual([]);
  });

  it("says why an order cannot be released, and releases it once it can", async () => {
    const order = await confirmOrder(rpc, plant, plant.warehouses.LYO, 5);
    const { housing } = plant.items;
    await rpc("product.product", "write", { ids: [housing.id], vals: { default_code: false } });
    const inlet = new RecordingInlet();
    const connector = openConnector(setting(inlet));
    await connector.start(new AbortController().signal);
    const degraded = await until(() => connector.report().state === "degraded" && connector.report());
    expect(degraded.reason).toContain("no internal reference");
    expect(of(inlet, order)).toEqual([]);
    await rpc("product.product", "write", { ids: [housing.id], vals: { default_code: housing.code } });
    await until(() => of(inlet, order)[0]);
    await until(() => connector.report().state === "up");
    await connector.stop();
  });

  it("is down with a clear reason while the key is wrong", async () => {
    const connector = openConnector({ ...setting(new RecordingInlet()), apiKey: "wrong" });
    await connector.start(new AbortController().signal);
    const down = await until(() => connector.report().state === "down" && connector.report());
    await connector.stop();
    expect(down.reason).toContain("API key");
  });
});
