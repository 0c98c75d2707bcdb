import { describe, expect, it } from "vitest";
import { Revisions } from "../../../central/document/revisions.ts";
import { configurationChanged } from "../../../central/router/routes.ts";
import { type CloudEvent, makeEvent, systemClock } from "../../../protocol/index.ts";
import { itemPayload } from "../../support/documents.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { pick } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** Two plants, each with a pick that is recorded. */
async function prepare(ledger: Ledger): Promise<void> {
  const { privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign"]).then((pair) => pair as CryptoKeyPair);
  const revisions = new Revisions({ ...ledger, signing: { kid: "test", privateKey, publicKey: "" } });
  for (const site of ["plant-a", "plant-b"]) {
    const lane = new TestLane(site, "transaction");
    const session = await beginSession(ledger, site, [lane]);
    await revisions.push(site, siteDocuments({ site, send: ["pick.confirmed"] }));
    lane.append([pick(site, "T-1")]);
    const batch = lane.batch();
    expect(await ledger.ingest.record(headOf(site, session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
  }
}
const sites = async (ledger: Ledger) => (await readAll(ledger)).map(({ site }) => site).sort();
const alarms = ({ storage }: Ledger) =>
  storage.selectFrom("exceptions").select(["site", "kind", "count", "ended_at"]).where("kind", "<>", "unrouted").execute();

describe.each(await storages())("on %s, a stored configuration that cannot be read", (kind) => {
  it("holds back its own site's messages alone, blames none of them, and is alarmed until a readable one is there", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector, completeness } = ledger;
    await prepare(ledger);
    const bundle = storage.selectFrom("revisions").select("bundle").where("site", "=", "plant-b");
    const readable = await bundle.executeTakeFirstOrThrow();
    const write = async (text: string): Promise<void> => {
      await storage.updateTable("revisions").set({ bundle: text }).where("site", "=", "plant-b").execute();
      await configurationChanged(storage);
    };
    await write('{"flows":1}');
    // as often as would set a batch aside that is damaged
    for (let steps = 0; steps < 20; steps++) await projector.step();
    expect(await sites(ledger)).toEqual(["plant-a"]);
    expect(await alarms(ledger)).toEqual([{ site: "plant-b", kind: "configuration-damaged", count: 1, ended_at: null }]);
    expect((await completeness.of("plant-b")).lanes).toMatchObject([{ messages: 0, quarantined: 0, waitingForProjection: 1 }]);
    expect(await storage.selectFrom("damaged").selectAll().execute()).toEqual([]);
    expect(await storage.selectFrom("projections").select("size").where("site", "=", "plant-b").execute()).toEqual([
      { size: 1000 },
    ]);
    await write(readable.bundle);
    for (let steps = 0; steps < 5; steps++) await projector.step();
    expect(await sites(ledger)).toEqual(["plant-a", "plant-b"]);
    expect((await alarms(ledger))[0]?.ended_at).toBeTypeOf("number");
  });

  it("keeps what is meant for its site, behind it what comes meanwhile, and hands all of it out in order once it is readable", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    const { privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign"]).then((pair) => pair as CryptoKeyPair);
    const revisions = new Revisions({ ...ledger, signing: { kid: "test", privateKey, publicKey: "" } });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    await revisions.push("plant-a", siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }));
    for (const site of ["hq", "archive"]) {
      await beginSession(ledger, site, []);
      await revisions.push(site, siteDocuments({ site, receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] }));
    }
    const send = async (...events: CloudEvent[]): Promise<void> => {
      const from = lane.last + 1;
      lane.append(events);
      const batch = lane.batch(from);
      expect(await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
      for (let steps = 0; steps < 5; steps++) await projector.step();
    };
    const downlink = async (site: string): Promise<string[]> => {
      const rows = await storage.selectFrom("downlink").select("position").where("site", "=", site).orderBy("sequence").execute();
      const messages = await readAll(ledger);
      return rows.map(({ position }) => messages.find((message) => message.position === position)?.event.id ?? "?");
    };
    const unrouted = () =>
      storage.selectFrom("exceptions").select(["target", "count"]).where("kind", "=", "unrouted").orderBy("target").execute();
    const id = (name: string, more: Partial<CloudEvent> = {}) => ({ ...pick("plant-a", name), id: name, ...more }) as CloudEvent;

    await send(id("before"));
    const { bundle } = await storage.selectFrom("revisions").select("bundle").where("site", "=", "hq").executeTakeFirstOrThrow();
    const write = async (text: string): Promise<void> => {
      await storage.updateTable("revisions").set({ bundle: text }).where("site", "=", "hq").execute();
      await configurationChanged(storage);
    };
    await write('{"flows":1}');
    await send(id("one"), id("two", { targetsite: "hq" }));
    await send(id("three"), id("nowhere", { targetsite: "plant-x" }));
    expect([await downlink("archive"), await downlink("hq")]).toEqual([["before", "one", "three"], ["before"]]);
    expect(await unrouted()).toEqual([{ target: "plant-x", count: 1 }]);

    await write(bundle);
    await send(id("four"));
    expect(await downlink("hq")).toEqual(["before", "one", "two", "three", "four"]);
    expect(await downlink("archive")).toEqual(["before", "one", "three", "four"]);
    await send(id("five"));
    expect((await downlink("hq")).at(-1)).toBe("five");
    expect(await unrouted()).toEqual([{ target: "plant-x", count: 1 }]);
  });

  it("keeps what is meant for its site of every lane that is routed", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    const { privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign"]).then((pair) => pair as CryptoKeyPair);
    const revisions = new Revisions({ ...ledger, signing: { kid: "test", privateKey, publicKey: "" } });
    const lanes = [new TestLane("hq", "bulk"), new TestLane("hq", "transaction")] as const;
    const session = await beginSession(ledger, "hq", lanes);
    await revisions.push("hq", siteDocuments({ site: "hq", send: ["item.published", "pick.confirmed"] }));
    await beginSession(ledger, "plant-a", []);
    const types = ["item.published", "pick.confirmed"];
    await revisions.push(
      "plant-a",
      siteDocuments({ site: "plant-a", receive: types, consumes: types.map((type) => ({ type })) }),
    );
    const send = async (lane: TestLane, event: CloudEvent): Promise<void> => {
      const from = lane.last + 1;
      lane.append([event]);
      const batch = lane.batch(from);
      expect(await ledger.ingest.record(headOf("hq", session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
      for (let steps = 0; steps < 5; steps++) await projector.step();
    };
    const origin = { site: "hq", connector: "erp", flow: "items", recordedAt: Date.now() };
    const item = (id: string) => makeEvent("item.published", itemPayload({ itemId: id }), { ...origin, id });
    const write = async (text: string): Promise<void> => {
      await storage.updateTable("revisions").set({ bundle: text }).where("site", "=", "plant-a").execute();
      await configurationChanged(storage);
    };
    const { bundle } = await storage
      .selectFrom("revisions")
      .select("bundle")
      .where("site", "=", "plant-a")
      .executeTakeFirstOrThrow();
    await write('{"flows":1}');
    await send(lanes[0], item("one"));
    await send(lanes[1], { ...pick("hq", "T-1"), id: "pick" });
    await send(lanes[0], item("two"));
    await write(bundle);
    await send(lanes[0], item("three"));
    const down = await storage
      .selectFrom("downlink")
      .select("position")
      .where("site", "=", "plant-a")
      .orderBy("sequence")
      .execute();
    const recorded = await readAll(ledger);
    const ids = down.map(({ position }) => recorded.find((message) => message.position === position)?.event.id);
    expect(ids).toEqual(["one", "pick", "two", "three"]);
  });

  it("is read again by itself once its disk is repaired", async () => {
    let ahead = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead };
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target, clock);
    const { storage, projector } = ledger;
    await prepare(ledger);
    const rows = storage.selectFrom("revisions").select("bundle").where("site", "=", "plant-b");
    const { bundle } = await rows.executeTakeFirstOrThrow();
    const write = (text: string) =>
      storage.updateTable("revisions").set({ bundle: text }).where("site", "=", "plant-b").execute();
    await write("{");
    for (let steps = 0; steps < 5; steps++) await projector.step();
    await write(bundle);
    ahead = 11_000;
    for (let steps = 0; steps < 5; steps++) await projector.step();
    expect(await sites(ledger)).toEqual(["plant-a", "plant-b"]);
    expect((await alarms(ledger))[0]?.ended_at).toBeTypeOf("number");
    expect(await storage.selectFrom("held_sites").selectAll().execute()).toEqual([]);
  });

  it("that takes another message then is told of as before: nobody takes it", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    await prepare(ledger);
    await storage.updateTable("revisions").set({ bundle: "{" }).where("site", "=", "plant-b").execute();
    await configurationChanged(storage);
    const unrouted = () =>
      storage.selectFrom("exceptions").select(["site", "type", "count"]).where("kind", "=", "unrouted").execute();
    for (let steps = 0; steps < 5; steps++) await projector.step();
    expect(await unrouted()).toEqual([]);
    const { bundle } = await storage
      .selectFrom("revisions")
      .select("bundle")
      .where("site", "=", "plant-a")
      .executeTakeFirstOrThrow();
    await storage.updateTable("revisions").set({ bundle }).where("site", "=", "plant-b").execute();
    await configurationChanged(storage);
    for (let steps = 0; steps < 5; steps++) await projector.step();
    expect(await unrouted()).toEqual([
      { site: "plant-a", type: "mfg.pick.confirmed.v1", count: 1 },
      { site: "plant-b", type: "mfg.pick.confirmed.v1", count: 1 },
    ]);
  });

  it("that cannot even be loaded is an outage: nothing is noted against anybody's messages", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    await prepare(ledger);
    const refresh = ledger.routes.refresh.bind(ledger.routes);
    ledger.routes.refresh = () => Promise.reject(new TypeError("a fault of our own"));
    for (let steps = 0; steps < 20; steps++) await projector.step().catch(() => {});
    expect(await storage.selectFrom("damaged").selectAll().execute()).toEqual([]);
    ledger.routes.refresh = refresh;
    for (let steps = 0; steps < 5; steps++) await projector.step();
    expect(await sites(ledger)).toEqual(["plant-a", "plant-b"]);
  });
});
