import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MessagesAnswer, OrderView, SitesAnswer } from "../../central/http/views.ts";
import type { CloudEvent, Document } from "../../protocol/index.ts";
import { erpDocuments, itemPayload, orderPayload, pickPayload, plantDocuments, shortagePayload } from "../support/documents.ts";
import { startErpServer } from "../support/erp-server.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/process.ts";
import { type CentralProcess, openSystem, reported, type System } from "../support/system.ts";

const secrets = { terminal: "floor-password" };

/** Central, a plant on a real Mosquitto, and the ERP's site, all running their configuration. */
async function startPlant(system: System, wmsUrl: string, erpUrl: string, items?: { plant: object; erp: object }) {
  const documents = { lyon: plantDocuments({ site: "lyon", wmsUrl }), hq: erpDocuments({ erpUrl }) };
  if (items) {
    addItems(documents.lyon, items.plant, "receive");
    addItems(documents.hq, items.erp, "send");
  }
  const central = await system.central();
  const [lyon, hq] = await Promise.all([system.gateway("lyon", central, { secrets }), system.gateway("hq", central)]);
  const run = async (site: "lyon" | "hq") => reported(central, site, await central.push(site, documents[site]));
  await Promise.all([run("lyon"), run("hq")]);
  return { central, lyon, hq };
}
function addItems([template, site]: Document[], flow: object, grant: "send" | "receive"): void {
  const { flows, connectors } = template!.spec as {
    flows: Record<string, object>;
    connectors: Record<string, { grants?: { publish: string[] } }>;
  };
  flows.items = flow;
  connectors.wms?.grants?.publish.push("wms/items/#");
  (site!.spec as { grants: Record<typeof grant, string[]> }).grants[grant].push("item.published");
}
const ledger = async (central: CentralProcess, type: string) =>
  (await central.get<MessagesAnswer>(`/v1/messages?type=${type}&limit=500`)).messages;

it("takes an order from the ERP to the warehouse, and the picks back, once each", async () => {
  await using broker = await startMosquitto();
  await using erp = await startErpServer();
  await using system = openSystem();
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  const orders: string[] = [];
  wms.on("message", (topic, payload) => {
    orders.push(payload.toString());
    wms.publish(`${topic}/ack`, JSON.stringify({ order: JSON.parse(payload.toString()).order, revision: 1, accepted: true }), {
      qos: 1,
    });
  });
  await wms.subscribeAsync("wms/orders/+", { qos: 1 });
  try {
    const { central, hq } = await startPlant(system, broker.url, erp.url);
    await until(
      async () => (await central.get<SitesAnswer>("/v1/sites")).sites.flatMap((site) => site.connectors),
      (all) => all.length >= 4 && all.every((connector) => connector.state === "up"),
    );

    const released = await fetch(`${hq.url}/in/erp/orders`, { method: "POST", body: JSON.stringify(orderPayload({ id: 42 })) });
    expect(released.status).toBe(202);
    await until(
      () => orders.length,
      (count) => count === 1,
    );
    expect(JSON.parse(orders[0]!)).toMatchObject({
      order: "hq-mo-42",
      name: "WH/MO/00042",
      qty: "100",
      uom: "C62",
      lines: [{ no: 1, item: "RM-ALU", qty: "12.5", uom: "KGM", op: 10 }],
    });

    const pick = pickPayload({ txn: "T-1", lines: 2 });
    await wms.publishAsync("wms/picks/PK-7/confirmed", pick, { qos: 1 });
    await wms.publishAsync("wms/picks/PK-7/confirmed", pick, { qos: 1 });
    await until(
      () => erp.received.length,
      (count) => count >= 2,
    );
    expect(erp.received.map(({ path, body }) => [path, body.txnId, body.lineNo, body.sscc])).toEqual([
      ["/picks", "T-1", 1, "340123450000000018"],
      ["/picks", "T-1", 2, "340123450000000018"],
    ]);
    expect(await ledger(central, "mfg.pick.confirmed.v1")).toHaveLength(2);

    const view = await until(
      () => central.get<OrderView>(`/v1/orders/${encodeURIComponent("WH/MO/00042")}`),
      (order) =>
        order.messages.flatMap((message) => message.hops).filter((hop) => hop.kind === "accepted" || hop.kind === "delivered")
          .length === 3,
    );
    const hops = view.messages
      .find((message) => message.type === "mfg.production-order.released.v1")!
      .hops.map((hop) => hop.kind);
    expect(hops).toEqual(["happened", "recorded", "central", "routed", "received", "accepted"]);
  } finally {
    await wms.endAsync();
  }
});

describe("a plant and its ERP's site, running,", () => {
  const parts = new AsyncDisposableStack();
  let plant: Awaited<ReturnType<typeof startPlant>>;
  let wmsUrl: string;
  beforeAll(async () => {
    wmsUrl = parts.use(await startMosquitto()).url;
    const erp = parts.use(await startErpServer());
    plant = await startPlant(parts.use(openSystem()), wmsUrl, erp.url);
  });
  afterAll(() => parts.disposeAsync());

  it("routes an order to its own plant only, and shows one for a plant that does not exist", async () => {
    const { central, hq } = plant;
    const answer = await fetch(`${hq.url}/in/erp/orders`, {
      method: "POST",
      body: JSON.stringify(orderPayload({ id: 7, warehouse: "XXX" })),
    });
    expect(answer.status).toBe(202);
    await until(
      async () => (await central.get<SitesAnswer>("/v1/sites")).sites.find((site) => site.name === "hq")?.deadLetters,
      (count) => count === 1,
    );
    expect(await ledger(central, "mfg.production-order.released.v1")).toEqual([]);
  });

  it("refuses an invalid configuration whole, and the running one stays", async () => {
    const { central } = plant;
    const documents = plantDocuments({ site: "lyon", wmsUrl, map: '{ "txnId": payload.txn, ' });
    const answer = await central.post<{ code: string; problems: { line: number; column: number; message: string }[] }>(
      "/v1/sites/lyon/revisions",
      {
        files: documents.map((document) => ({ name: `${document.kind}.json`, text: JSON.stringify(document, null, 2) })),
      },
    );
    expect(answer).toMatchObject({ status: 422, body: { code: "invalid" } });
    expect(answer.body.problems[0]).toMatchObject({ line: expect.any(Number), column: expect.any(Number) });
    expect((await central.get<SitesAnswer>("/v1/sites")).sites.find((site) => site.name === "lyon")).toMatchObject({
      desiredRevision: 1,
      reportedRevision: 1,
    });
  });
});

it("goes on after kill -9 with what it had acknowledged, and the plant works while central is away", async () => {
  await using broker = await startMosquitto();
  await using erp = await startErpServer();
  await using system = openSystem();
  const { central, lyon } = await startPlant(system, broker.url, erp.url);
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  try {
    await central.process.kill("SIGKILL");
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        wms.publishAsync("wms/picks/PK-7/confirmed", pickPayload({ txn: `A-${index}` }), { qos: 1 }),
      ),
    );
    await lyon.process.kill("SIGKILL");
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        wms.publishAsync("wms/picks/PK-7/confirmed", pickPayload({ txn: `B-${index}` }), { qos: 1 }),
      ),
    );
    await lyon.restart();
    const again = await system.central({ port: Number(new URL(central.url).port) });
    const picks = await until(
      () => ledger(again, "mfg.pick.confirmed.v1"),
      (found) => found.length >= 100,
    );
    expect(picks.map(({ event }) => (event.data as { txnId: string }).txnId)).toEqual([
      ...Array.from({ length: 50 }, (_, index) => `A-${index}`),
      ...Array.from({ length: 50 }, (_, index) => `B-${index}`),
    ]);
    await until(
      () => erp.received.length,
      (count) => count >= 100,
    );
    expect(new Set(erp.received.map(({ body }) => body.txnId)).size).toBe(100);
  } finally {
    await wms.endAsync();
  }
});

it("puts a changed mapping into effect in a running plant without touching connectors or other sites", async () => {
  await using broker = await startMosquitto();
  await using erp = await startErpServer();
  await using system = openSystem();
  const { central } = await startPlant(system, broker.url, erp.url);
  const view = async () => (await central.get<SitesAnswer>("/v1/sites")).sites;
  const before = await until(view, (sites) =>
    sites.every((site) => site.connectors.length > 0 && site.connectors.every((connector) => connector.state === "up")),
  );
  const documents = plantDocuments({ site: "lyon", wmsUrl: broker.url });
  const flows = (documents[0]!.spec as unknown as { flows: { picks: { map: string } } }).flows;
  flows.picks.map = flows.picks.map.replace("payload.operator", '"operator-" & payload.operator');
  const revision = await central.push("lyon", documents);
  await reported(central, "lyon", revision);
  const after = await view();
  const counts = (sites: typeof before, name: string) =>
    sites
      .find((site) => site.name === name)!
      .connectors.map((connector) => [connector.name, connector.connects, connector.since]);
  expect(counts(after, "lyon")).toEqual(counts(before, "lyon"));
  expect(after.find((site) => site.name === "hq")!.desiredRevision).toBe(
    before.find((site) => site.name === "hq")!.desiredRevision,
  );
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  await wms.publishAsync("wms/picks/PK-7/confirmed", pickPayload({ txn: "T-9" }), { qos: 1 });
  const [pick] = await until(
    () => ledger(central, "mfg.pick.confirmed.v1"),
    (found) => found.length === 1,
  );
  expect((pick!.event.data as { operator: string }).operator).toBe("operator-u17");
  await wms.endAsync();
});

it("is refused by central with another key, and the plant takes in all the same", async () => {
  await using broker = await startMosquitto();
  await using erp = await startErpServer();
  await using system = openSystem();
  const { central, lyon } = await startPlant(system, broker.url, erp.url);
  await lyon.process.kill("SIGTERM");
  const { rmSync } = await import("node:fs");
  rmSync(`${lyon.dataDir}/identity`, { recursive: true });
  const impostor = await lyon.restart();
  const refused = await impostor.process.logged("link.hello.refused");
  expect(refused.code).toBe("key-unknown");
  const health = (await (await fetch(`${impostor.url}/health`)).json()) as { link: string; reason: string };
  expect(health).toMatchObject({ link: "denied", reason: refused.reason });
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  await wms.publishAsync("wms/picks/PK-7/confirmed", pickPayload({ txn: "T-1" }), { qos: 1 });
  const answer = await fetch(`${impostor.url}/in/hooks/shortages`, {
    method: "POST",
    body: shortagePayload("S-1"),
  });
  expect(answer.status).toBe(202);
  expect(await ledger(central, "mfg.shortage.reported.v1")).toEqual([]);
  await wms.endAsync();
});

it("takes what the ERP knows of an item to the warehouse over the bulk lane, the same again not twice", async () => {
  await using broker = await startMosquitto();
  await using erp = await startErpServer();
  await using system = openSystem();
  const wms = await connectAsync(broker.url, { clientId: "wms" });
  const items: string[] = [];
  wms.on("message", (topic, payload) => items.push(`${topic} ${JSON.parse(payload.toString()).revision}`));
  await wms.subscribeAsync("wms/items/+", { qos: 1 });
  try {
    const { central, hq } = await startPlant(system, broker.url, erp.url, {
      plant: {
        purpose: "Items to the warehouse",
        from: { central: "item.published" },
        to: [{ connector: "wms", topic: "wms/items/{data.itemId}", body: "data" }],
      },
      erp: {
        purpose: "Items to the plants",
        from: { connector: "erp", webhook: "/items" },
        as: "item.published",
        map: "payload",
        to: [{ central: true }],
      },
    });
    for (const revision of [1, 1, 2]) {
      const body = JSON.stringify(itemPayload({ itemId: "RM-ALU", revision }));
      expect((await fetch(`${hq.url}/in/erp/items`, { method: "POST", body })).status).toBe(202);
      await until(
        () => items,
        (all) => all.includes(`wms/items/RM-ALU ${revision}`),
      );
    }
    expect(items).toEqual(["wms/items/RM-ALU 1", "wms/items/RM-ALU 2"]);
    const recorded = (await central.get<MessagesAnswer>("/v1/messages?lane=bulk&limit=500")).messages;
    expect(
      recorded.map(({ site, lane, event }) => [site, lane, (event as CloudEvent).subject, (event as CloudEvent).data.revision]),
    ).toEqual([
      ["hq", "bulk", "item/RM-ALU", 1],
      ["hq", "bulk", "item/RM-ALU", 2],
    ]);
  } finally {
    await wms.endAsync(true);
  }
});
