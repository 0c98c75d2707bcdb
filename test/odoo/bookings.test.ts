import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deliver, openConnector } from "./driver.ts";
import { readEnvironment } from "./environment.ts";
import { type LossyProxy, startLossyProxy } from "./lossy-proxy.ts";
import { openRpc, type Rpc } from "./rpc.ts";
import { playOrder } from "./scenario.ts";
import { type Plant, setUpPlant } from "./setup.ts";

const environment = readEnvironment();

/** Every kind of call that the scenario makes, as `model/method`. */
const calls = [
  "stock.picking/write",
  "stock.picking/button_validate",
  "mrp.production/write",
  "mrp.production/button_mark_done",
  "stock.scrap/create",
  "stock.scrap/action_validate",
  "mrp.production/message_post",
  "mail.message/search_read",
  "stock.move.line/search_read",
];

describe.skipIf(!environment)("what plants report stands in Odoo once", () => {
  const { url, database, apiKey, adminApiKey } = environment ?? { url: "", database: "", apiKey: "", adminApiKey: undefined };
  const rpc: Rpc = openRpc(url, database, apiKey);
  let plant: Plant;
  let proxy: LossyProxy;

  beforeAll(async () => {
    plant = await setUpPlant(rpc, adminApiKey ? openRpc(url, database, adminApiKey) : undefined);
    proxy = await startLossyProxy(url);
  });
  afterAll(() => proxy?.[Symbol.asyncDispose]());

  /** Reports a whole order, and compares what Odoo then holds with the log, line by line. */
  async function runOrder(code: "LYO" | "POR", prefix: string): Promise<{ unknown: number }> {
    const open = () => openConnector({ url: proxy.url, database, apiKey, warehouses: [code] });
    let unknown = 0;
    const { orderId, booked, expected } = await playOrder(rpc, plant, code, prefix, async (report) => {
      unknown += (await deliver(open, report, code === "LYO" ? "lyon" : "porto")).unknown;
    });
    expect(booked).toEqual(expected);
    // nothing half-made stays behind either
    const scraps = await rpc<{ state: string }[]>("stock.scrap", "search_read", {
      domain: [["production_id.production_group_id.production_ids", "in", [orderId]]],
      fields: ["state"],
    });
    expect(scraps.map((scrap) => scrap.state)).toEqual(["done"]);
    const notes = await rpc<{ id: number }[]>("mail.message", "search_read", {
      domain: [["body", "ilike", `${prefix}-N1`]],
      fields: ["body"],
    });
    expect(notes).toHaveLength(1);
    return { unknown };
  }

  it("books the picks, consumption, goods and scrap of an order of each plant as they were reported", async () => {
    proxy.lose(undefined);
    await runOrder("LYO", `${plant.run}-A`);
    await runOrder("POR", `${plant.run}-A2`);
  });

  it("books orders of both plants that are reported at the same time", async () => {
    proxy.lose(undefined);
    await Promise.all([
      runOrder("LYO", `${plant.run}-P1`),
      runOrder("LYO", `${plant.run}-P2`),
      runOrder("POR", `${plant.run}-P3`),
    ]);
  });

  it.each(calls.map((call, index) => [call, index] as const))(
    "books them once when answers to %s are lost after Odoo committed",
    async (call, index) => {
      proxy.lose(call);
      const { unknown } = await runOrder("LYO", `${plant.run}-L${index}`);
      expect(proxy.lost()).toBeGreaterThan(0);
      // a lost answer to a question changes nothing, and is no doubt about what was booked
      if (call.endsWith("/search_read")) expect(unknown).toBe(0);
      else expect(unknown).toBe(proxy.lost());
    },
  );
});
