import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OrderMessage } from "../../central/http/views.ts";
import { until } from "../support/process.ts";
import { requireService } from "../support/services.ts";
import { readEnvironment } from "./environment.ts";
import { type LossyProxy, startLossyProxy } from "./lossy-proxy.ts";
import { messagesOfStory, readOrder, tellOrder } from "./order-story.ts";
import { openRpc, type Rpc } from "./rpc.ts";
import { expectedFrom } from "./said.ts";
import { bookedOf, sorted } from "./scenario.ts";
import { confirmOrder, type Plant, setUpPlant } from "./setup.ts";
import { type PlantName, startWholeSystem, type WholeSystem } from "./whole-system.ts";

const environment = readEnvironment();
const mosquitto = environment ? await requireService("mosquitto") : undefined;

/** Every call of the story that changes something in Odoo. */
const writingCalls = [
  "stock.picking/write",
  "stock.picking/button_validate",
  "stock.picking/create",
  "stock.picking/action_confirm",
  "mrp.production/message_post",
  "mrp.production/write",
  "mrp.production/button_mark_done",
  "stock.scrap/create",
  "stock.scrap/action_validate",
];

/** A message that was lost is booked after Odoo can no longer be at work on it: 15 s for each. */
const bookedWithinMs = 240_000;

describe.skipIf(!environment || !mosquitto)("orders of two plants and the ERP, each behind a gateway process", () => {
  const { url, database, apiKey, adminApiKey } = environment ?? { url: "", database: "", apiKey: "", adminApiKey: undefined };
  const rpc: Rpc = openRpc(url, database, apiKey);
  const owned = new AsyncDisposableStack();
  let plant: Plant;
  let proxy: LossyProxy;
  let system: WholeSystem;

  beforeAll(async () => {
    plant = await setUpPlant(rpc, adminApiKey ? openRpc(url, database, adminApiKey) : undefined);
    proxy = owned.use(await startLossyProxy(url));
    system = owned.use(await startWholeSystem({ url: proxy.url, database, apiKey }));
  });
  afterAll(() => owned.disposeAsync());

  const ofType = async (moId: string, type: string): Promise<OrderMessage[]> =>
    (await system.order(moId)).messages.filter((message) => message.type === type);

  /** How the messages of an order ended at the ERP: `type outcome` of each. */
  const outcomes = async (moId: string): Promise<string[]> =>
    (await system.order(moId)).messages
      .filter((message) => message.type in messagesOfStory)
      .flatMap((message) =>
        message.hops
          .filter((hop) => hop.site === "hq" && ["delivered", "refused", "unknown"].includes(hop.kind))
          .map((hop) => (hop.kind === "delivered" ? `${message.type} delivered` : `${message.type} ${hop.kind}: ${hop.what}`)),
      )
      .sort();
  const allDelivered = Object.entries(messagesOfStory)
    .flatMap(([type, count]) => Array.from({ length: count }, () => `${type} delivered`))
    .sort();

  /** Confirms an order in Odoo, waits for it at the plant's warehouse, and lets the plant work on it until all is booked. */
  async function runOrder(site: PlantName): Promise<void> {
    const warehouse = plant.warehouses[site === "lyon" ? "LYO" : "POR"];
    const peers = system.peers[site];
    const id = await confirmOrder(rpc, plant, warehouse, 100);
    const moId = `hq-mo-${id}`;
    const heard = await until(
      () => peers.heard.find((order) => order.order === moId),
      (found) => found !== undefined,
      60_000,
    );
    const { housing, alu, insert } = plant.items;
    expect(heard?.topic).toBe(`wms/orders/${moId}`);
    expect(readOrder(heard!)).toEqual({
      order: moId,
      name: expect.stringMatching(new RegExp(`^${warehouse.code}/MO/`)),
      item: housing.code,
      qty: "100",
      uom: "C62",
      revision: 1,
      priority: 0,
      needBy: "2026-12-01T06:30:00.000Z",
      lines: [
        { item: alu.code, qty: "12.5", uom: "KGM", op: 10 },
        { item: insert.code, qty: "200", uom: "C62" },
      ],
    });

    await tellOrder(peers, plant, moId, async (type, count) => {
      await until(
        async () => (await ofType(moId, type)).length,
        (found) => found >= count,
        60_000,
      );
    });
    const ended = await until(
      () => outcomes(moId),
      (found) => found.length >= allDelivered.length || found.some((outcome) => !outcome.endsWith(" delivered")),
      bookedWithinMs,
    );
    expect(ended).toEqual(allDelivered);

    const booked = await bookedOf(rpc, plant, id);
    expect({ ...booked, lines: sorted(booked.lines) }).toEqual(expectedFrom(peers.said, moId, plant, warehouse));
    // the pallet's number came through the plant unchanged
    const [pick] = await ofType(moId, "mfg.pick.confirmed.v1");
    expect(pick?.data).toMatchObject({ sscc: "340123450000001000" });
    const notes = await rpc<{ id: number }[]>("mail.message", "search_read", {
      domain: [
        ["body", "ilike", `Short of 80 C62 of ${insert.code}`],
        ["model", "=", "mrp.production"],
        ["res_id", "=", id],
      ],
      fields: ["body"],
    });
    expect(notes).toHaveLength(1);
  }

  /** What no order may leave behind, and that orders went to their own plant alone. */
  async function expectNothingAstray(): Promise<void> {
    for (const site of await system.sites())
      expect([site.name, site.deadLetters, site.deliveries?.unknown ?? 0]).toEqual([site.name, 0, 0]);
    const of = (site: PlantName) => new Set(system.peers[site].heard.map((order) => order.order));
    expect([...of("lyon").intersection(of("porto"))]).toEqual([]);
    const names = (site: PlantName) =>
      system.peers[site].heard.map((order) => (JSON.parse(order.payload) as { name: string }).name.slice(0, 4));
    expect(new Set(names("lyon"))).toEqual(new Set(["LYO/"]));
    expect(new Set(names("porto"))).toEqual(new Set(["POR/"]));
  }

  it("takes an order to its plant's warehouse alone and books what the plant reports, while scheduler and presses are away", async () => {
    proxy.lose(undefined);
    await Promise.all([runOrder("lyon"), runOrder("porto")]);
    await expectNothingAstray();
    const away = (await system.sites()).flatMap((site) =>
      site.connectors.filter((connector) => connector.state !== "up").map((connector) => `${site.name} ${connector.name}`),
    );
    expect(away.sort()).toEqual(["lyon press.press-1", "lyon scheduler", "porto press.press-1", "porto scheduler"]);
  });

  it("books everything once when the first answer of each kind of writing call is lost after Odoo committed", async () => {
    proxy.loseFirstOfEach(writingCalls);
    await Promise.all([runOrder("lyon"), runOrder("porto")]);
    expect(proxy.stillToLose()).toEqual([]);
    expect(proxy.lost()).toBe(writingCalls.length);
    await expectNothingAstray();
  });

  it("books everything once when the ERP's gateway is killed while an answer is missing", async () => {
    const calls = ["stock.picking/write", "mrp.production/button_mark_done"];
    proxy.loseFirstOfEach(calls);
    const run = runOrder("lyon");
    const killedAt = async (call: string): Promise<void> => {
      await until(
        () => proxy.stillToLose(),
        (left) => !left.includes(call),
        90_000,
      );
      await system.killErpGateway();
    };
    await Promise.all([
      run,
      (async () => {
        for (const call of calls) await killedAt(call);
      })(),
    ]);
    await expectNothingAstray();
  });
});
