import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { pick, released } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

type Options = Omit<Parameters<typeof siteDocuments>[0], "site">;

async function site(central: TestCentral, name: string, options: Options = {}) {
  const gateway = await central.addSite(name);
  const pushed = await central.admin("POST", `/v1/sites/${name}/revisions`, { files: siteDocuments({ site: name, ...options }) });
  expect(pushed.status, JSON.stringify(pushed.body)).toBe(201);
  const lane = gateway.lane("transaction");
  await gateway.hello([lane]);
  return Object.assign(gateway, { transactions: lane });
}
type Site = Awaited<ReturnType<typeof site>>;

async function sendAll(gateway: Site, events: Parameters<Site["transactions"]["append"]>[0]) {
  const from = gateway.transactions.last + 1;
  gateway.transactions.append(events);
  expect((await gateway.send(gateway.transactions, gateway.transactions.batch(from))).status).toBe(200);
}
const recorded = (central: TestCentral, count: number) =>
  eventually(
    () => central.admin<MessagesAnswer>("GET", "/v1/messages"),
    ({ body }) => body.messages.length === count,
  );
const exceptions = async (central: TestCentral) =>
  (
    await central.admin<{ exceptions: { site: string; type: string; target: string | null; count: number; reason: string }[] }>(
      "GET",
      "/v1/exceptions",
    )
  ).body.exceptions;
const waiting = async (gateway: Site, request: Parameters<Site["downlink"]>[0] = {}) =>
  (await gateway.downlink({ knownRevision: 1, ...request })).body;
const picksOf = { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] };

describe.each(await storages())("on %s", (storage) => {
  describe("routes", () => {
    it("brings a message to each site that consumes its type and may receive it, and never back to its sender", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await site(central, "plant-a", { send: ["pick.confirmed"], ...picksOf });
      const [hq, lab] = [
        await site(central, "hq", picksOf),
        await site(central, "lab", { receive: ["pick.confirmed"], consumes: [{ type: "mfg.pick.confirmed.v1" }] }),
      ];
      const unasked = await site(central, "unasked", { receive: ["pick.confirmed"] });
      const event = pick("plant-a", "T-1");
      await sendAll(plant, [event]);
      await recorded(central, 1);
      expect((await waiting(hq)).messages).toEqual([{ sequence: 1, event, waitedMs: expect.any(Number) }]);
      expect((await waiting(lab)).messages).toEqual([{ sequence: 1, event, waitedMs: expect.any(Number) }]);
      expect((await waiting(unasked)).messages).toEqual([]);
      expect((await waiting(plant)).messages).toEqual([]);
      expect(await exceptions(central)).toEqual([]);
    });

    it("brings a message with a target to that site only, and leaves one for its own site in its plant", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await site(central, "plant-a", { send: ["pick.confirmed"] });
      const [hq, lab] = [await site(central, "hq", picksOf), await site(central, "lab", picksOf)];
      await sendAll(plant, [pick("plant-a", "T-1", { targetSite: "lab" }), pick("plant-a", "T-2", { targetSite: "plant-a" })]);
      await recorded(central, 2);
      expect((await waiting(hq)).messages).toEqual([]);
      expect((await waiting(lab)).messages.map(({ event }) => (event as { data: { txnId: string } }).data.txnId)).toEqual([
        "T-1",
      ]);
      expect(await exceptions(central)).toEqual([]);
    });

    it("takes only from senders with the labels that a flow names", async () => {
      await using central = await startTestCentral({ storage });
      const castings = await site(central, "plant-a", {
        send: ["pick.confirmed"],
        labels: { businessUnit: "castings", region: "eu" },
      });
      const forgings = await site(central, "plant-t", {
        send: ["pick.confirmed"],
        labels: { businessUnit: "forgings", region: "eu" },
      });
      const hq = await site(central, "hq", {
        receive: ["pick.confirmed"],
        consumes: [{ type: "pick.confirmed", sites: "businessUnit=castings,region=eu" }],
      });
      await sendAll(castings, [pick("plant-a", "T-1")]);
      await sendAll(forgings, [pick("plant-t", "T-1")]);
      await recorded(central, 2);
      expect((await waiting(hq)).messages.map(({ event }) => (event as { site: string }).site)).toEqual(["plant-a"]);
      expect(await exceptions(central)).toMatchObject([{ site: "plant-t", type: "mfg.pick.confirmed.v1", count: 1 }]);
    });

    it("brings nothing to a flow that is off, and to one in shadow what it is to look at", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await site(central, "plant-a", { send: ["pick.confirmed", "production-order.released"] });
      const hq = await site(central, "hq", {
        receive: ["pick.confirmed", "production-order.released"],
        consumes: [
          { type: "pick.confirmed", mode: "off" },
          { type: "production-order.released", mode: "shadow" },
        ],
      });
      await sendAll(plant, [pick("plant-a", "T-1"), released("plant-a", "mo-1", 1)]);
      await recorded(central, 2);
      expect((await waiting(hq)).messages.map(({ event }) => (event as { type: string }).type)).toEqual([
        "mfg.production-order.released.v1",
      ]);
      expect(await exceptions(central)).toMatchObject([{ site: "plant-a", type: "mfg.pick.confirmed.v1", count: 1 }]);
    });

    it("shows messages that nobody takes once per sender, type and target, with their number and the reason", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await site(central, "plant-a", { send: ["pick.confirmed", "production-order.released"] });
      await site(central, "hq", { receive: [] });
      await sendAll(plant, [
        pick("plant-a", "T-1"),
        pick("plant-a", "T-2"),
        released("plant-a", "mo-1", 1, { targetSite: "nowhere" }),
        released("plant-a", "mo-2", 1, { targetSite: "hq" }),
      ]);
      await recorded(central, 4);
      const found = (await exceptions(central)).map(({ type, target, count, reason }) => ({ type, target, count, reason }));
      expect(found).toHaveLength(3);
      expect(found).toEqual(
        expect.arrayContaining([
          { type: "mfg.pick.confirmed.v1", target: null, count: 2, reason: "no site consumes this type" },
          { type: "mfg.production-order.released.v1", target: "nowhere", count: 1, reason: 'there is no site "nowhere"' },
          { type: "mfg.production-order.released.v1", target: "hq", count: 1, reason: 'site "hq" may not receive this type' },
        ]),
      );
    });
  });

  describe("the downlink", () => {
    it("answers an open poll as soon as a message is routed", async () => {
      await using central = await startTestCentral({ storage });
      const [plant, hq] = [await site(central, "plant-a", { send: ["pick.confirmed"] }), await site(central, "hq", picksOf)];
      const poll = hq.downlink({ knownRevision: 1, waitMs: 30_000 });
      await sendAll(plant, [pick("plant-a", "T-1")]);
      expect((await poll).body.messages).toHaveLength(1);
    });

    it("answers an open poll as soon as another revision is desired", async () => {
      await using central = await startTestCentral({ storage });
      const hq = await site(central, "hq", picksOf);
      const poll = hq.downlink({ knownRevision: 1, waitMs: 30_000 });
      await central.admin("POST", "/v1/sites/hq/revisions", { files: siteDocuments({ site: "hq" }) });
      expect((await poll).body).toMatchObject({
        messages: [],
        desired: { revision: 2, digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      });
    });

    it("sends again what was not acknowledged, and after an acknowledgement only what is newer", async () => {
      await using central = await startTestCentral({ storage });
      const [plant, hq] = [await site(central, "plant-a", { send: ["pick.confirmed"] }), await site(central, "hq", picksOf)];
      await sendAll(plant, [pick("plant-a", "T-1"), pick("plant-a", "T-2"), pick("plant-a", "T-3")]);
      await recorded(central, 3);
      const first = await waiting(hq);
      expect(first.messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
      const { epoch } = first;
      expect((await waiting(hq, { epoch, sequence: 0 })).messages).toHaveLength(3);
      expect((await waiting(hq, { epoch, sequence: 2 })).messages.map(({ sequence }) => sequence)).toEqual([3]);
      await central.restart();
      // without an epoch: what was never acknowledged; with a lower one: a restored data folder gets it again
      expect((await waiting(hq)).messages.map(({ sequence }) => sequence)).toEqual([3]);
      expect((await waiting(hq, { epoch, sequence: 1 })).messages.map(({ sequence }) => sequence)).toEqual([2, 3]);
      expect((await waiting(hq, { epoch, sequence: 3 })).messages).toEqual([]);
    });

    it("says how long a message has waited, in its sender's queue and here, and which ones come again", async () => {
      await using central = await startTestCentral({ storage });
      const [plant, hq] = [await site(central, "plant-a", { send: ["pick.confirmed"] }), await site(central, "hq", picksOf)];
      plant.transactions.append([pick("plant-a", "T-1"), pick("plant-a", "T-2")]);
      await plant.send(plant.transactions, plant.transactions.batch(), { "plantgate-age": "7200000" });
      await recorded(central, 2);
      const first = await waiting(hq);
      for (const { waitedMs, again } of first.messages) {
        expect(waitedMs).toBeGreaterThanOrEqual(7_200_000);
        expect(waitedMs).toBeLessThan(7_260_000);
        expect(again).toBeUndefined();
      }
      const { epoch } = first;
      await waiting(hq, { epoch, sequence: 1 });
      // its data folder was set back: what it had acknowledged may have had its effect
      const back = await waiting(hq, { epoch, sequence: 0 });
      expect(back.messages.map(({ sequence, again }) => [sequence, again])).toEqual([
        [1, true],
        [2, undefined],
      ]);
    });

    it("answers with at most 200 messages, and goes on where it was acknowledged", async () => {
      await using central = await startTestCentral({ storage });
      const [plant, hq] = [await site(central, "plant-a", { send: ["pick.confirmed"] }), await site(central, "hq", picksOf)];
      await sendAll(
        plant,
        Array.from({ length: 450 }, (_, index) => pick("plant-a", `T-${index}`)),
      );
      await eventually(
        () => waiting(hq),
        ({ messages }) => messages.length === 200,
      );
      await central.restart();
      const seen: string[] = [];
      let position: { epoch?: string; sequence: number } = { sequence: 0 };
      for (;;) {
        const answer = await waiting(hq, position);
        if (answer.messages.length === 0 && seen.length >= 450) break;
        seen.push(...answer.messages.map(({ event }) => (event as { data: { txnId: string } }).data.txnId));
        position = { epoch: answer.epoch, sequence: answer.messages.at(-1)?.sequence ?? position.sequence };
      }
      expect(seen).toEqual(Array.from({ length: 450 }, (_, index) => `T-${index}`));
    });

    it("cuts open polls when the site is revoked or a newer session begins", async () => {
      await using central = await startTestCentral({ storage });
      const hq = await site(central, "hq", picksOf);
      const fenced = hq.downlink({ knownRevision: 1, waitMs: 30_000 });
      await eventually(
        () => hq.status(),
        ({ status }) => status === 200,
      );
      await hq.hello();
      expect((await fenced).body.code).toBe("fenced");
      const revoked = hq.downlink({ knownRevision: 1, waitMs: 30_000 });
      await central.admin("POST", "/v1/sites/hq/revoke");
      expect(await revoked).toMatchObject({ status: 403, body: { code: "site-revoked" } });
    });

    it("ends open polls with an answer when central stops", async () => {
      await using central = await startTestCentral({ storage });
      const hq = await site(central, "hq", picksOf);
      const poll = hq.downlink({ knownRevision: 1, waitMs: 30_000 });
      await eventually(
        () => hq.status(),
        ({ status }) => status === 200,
      );
      await central.stop();
      await expect(poll).resolves.toMatchObject({ status: 200 });
    });
  });
});
