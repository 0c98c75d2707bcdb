import { describe, expect, it } from "vitest";
import { Revisions } from "../../../central/document/revisions.ts";
import { configurationChanged } from "../../../central/router/routes.ts";
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
