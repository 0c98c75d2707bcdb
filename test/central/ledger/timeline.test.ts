import { describe, expect, it } from "vitest";
import type { OrdersAnswer, OrderView } from "../../../central/http/views.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { delivered, pick, released } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (storage) => {
  it("tells an order's way from the ERP to the machine that took it, found by id and by name", async () => {
    await using central = await startTestCentral({ storage });
    const [hq, plant] = [await central.addSite("hq"), await central.addSite("plant-a")];
    await central.admin("POST", "/v1/sites/hq/revisions", {
      files: siteDocuments({ site: "hq", send: ["production-order.released"] }),
    });
    await central.admin("POST", "/v1/sites/plant-a/revisions", {
      files: siteDocuments({
        site: "plant-a",
        send: ["pick.confirmed"],
        receive: ["production-order.released"],
        consumes: [{ type: "production-order.released" }],
      }),
    });
    const [orders, facts] = [hq.lane("transaction"), plant.lane("transaction")];
    await hq.hello([orders]);
    await plant.hello([facts]);
    const release = released("hq", "hq-mo-42", 1, { targetSite: "plant-a", recordedAt: Date.now() - 1000 });
    orders.append([released("hq", "hq-mo-7", 1, { targetSite: "plant-a" }), release]);
    await hq.send(orders);
    const got = await eventually(
      () => plant.downlink({ knownRevision: 1, waitMs: 2000 }),
      ({ body }) => body.messages.length === 2,
    );
    await plant.downlink({ knownRevision: 1, epoch: got.body.epoch, sequence: 2 });
    facts.append([delivered("plant-a", release, "accepted"), pick("plant-a", "T-1")]);
    await plant.send(facts);

    const order = (name: string) => central.admin<OrderView>("GET", `/v1/orders/${name}`);
    const { body } = await eventually(
      () => order("hq-mo-42"),
      ({ body: seen }) => seen.messages?.length === 2 && seen.messages[0]?.hops.length === 6,
    );
    expect(body).toMatchObject({
      moId: "hq-mo-42",
      orderName: "WH/MO/00042",
      plant: "plant-a",
      item: "FG-HSG",
      quantity: "100 C62",
    });
    expect(body.messages.map(({ summary, site }) => ({ summary, site }))).toEqual([
      { summary: "Released: 100 C62 of FG-HSG, revision 1", site: "hq" },
      { summary: "Picked 12.5 KGM RM-ALU, lot L-2291", site: "plant-a" },
    ]);
    expect(body.messages[0]?.hops.map(({ kind, site, place }) => `${kind} ${site}/${place}`)).toEqual([
      "happened hq/test",
      "recorded hq/gateway",
      "central central/ledger",
      "routed central/router",
      "received plant-a/gateway",
      "accepted plant-a/press-7",
    ]);
    // names come again: the order that was touched last has it
    expect((await order(encodeURIComponent("WH/MO/00042"))).body.moId).toBe("hq-mo-42");
    expect((await order("WH/MO/00042")).body.moId).toBe("hq-mo-42");
    expect(await order("nothing")).toMatchObject({ status: 404, body: { code: "not-found" } });

    const search = async (text: string) =>
      (await central.admin<OrdersAnswer>("GET", `/v1/orders?q=${encodeURIComponent(text)}`)).body.orders.map(
        ({ moId, messages }) => `${moId} ${messages}`,
      );
    expect(await search("")).toEqual(["hq-mo-42 2", "hq-mo-7 1"]);
    expect(await search("hq-mo-7")).toEqual(["hq-mo-7 1"]);
    expect(await search("WH/MO")).toEqual(["hq-mo-42 2", "hq-mo-7 1"]);
    expect(await search("%")).toEqual([]);
  });
});
