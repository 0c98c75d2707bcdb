import { describe, expect, it } from "vitest";
import { systemClock } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, openRevisions, readAll, routePicks } from "../../support/ledger.ts";
import { pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** Records a batch of picks, each of an order, whose key it has. */
async function send(ledger: Ledger, session: string, site: string, lane: TestLane, picks: Readonly<Record<string, string>>) {
  lane.append(Object.entries(picks).map(([txn, moId]) => pick(site, txn, { moId, key: moId })));
  const batch = lane.batch(lane.starts.at(-1));
  const outcome = await ledger.ingest.record(headOf(site, session, lane, batch), batch.body);
  expect(outcome).toMatchObject({ kind: "recorded", watermark: lane.last });
}
async function projectAll({ projector }: Ledger): Promise<void> {
  while (await projector.step().catch(() => true));
}

/** What a site's downlink brings, in its order. */
async function downlinkOf(ledger: Ledger, site: string): Promise<(string | undefined)[]> {
  const rows = await ledger.storage
    .selectFrom("downlink")
    .select("position")
    .where("site", "=", site)
    .orderBy("sequence")
    .execute();
  const txns = new Map(
    (await readAll(ledger)).map(({ position, event }) => [
      position,
      (event as unknown as { data: { txnId: string } }).data.txnId,
    ]),
  );
  return rows.map(({ position }) => txns.get(position));
}

describe.each(await storages())("on %s", (kind) => {
  it("brings messages of a repaired batch nowhere where later ones of their key have gone, and tells of them", async () => {
    await using own = await openTestStorage(kind);
    let ahead = 0;
    await using ledger = await openLedger(own.target, { ...systemClock, now: () => systemClock.now() + ahead });
    const { storage, frames } = ledger;
    const lanes = { a: new TestLane("plant-a", "transaction"), b: new TestLane("plant-b", "transaction") };
    const [a, b] = [await beginSession(ledger, "plant-a", [lanes.a]), await beginSession(ledger, "plant-b", [lanes.b])];
    for (const site of ["hq", "lab"]) await beginSession(ledger, site, []);
    const revisions = await openRevisions(ledger);
    for (const from of ["plant-a", "plant-b"]) await routePicks(revisions, from, ["hq"]);
    await send(ledger, a, "plant-a", lanes.a, { "T-1": "mo-1" });
    await projectAll(ledger);
    await send(ledger, a, "plant-a", lanes.a, { "T-2": "mo-2", "T-3": "mo-3", "T-4": "mo-1" });
    const body = storage.selectFrom("batches").select("body").where("number", "=", 2);
    const whole = (await body.executeTakeFirstOrThrow()).body;
    const write = (bytes: Uint8Array) => storage.updateTable("batches").set({ body: bytes }).where("number", "=", 2).execute();
    await write(Buffer.alloc(whole.length));
    await send(ledger, a, "plant-a", lanes.a, { "T-5": "mo-2" });
    // another sender's messages of that key are in no order with them
    await send(ledger, b, "plant-b", lanes.b, { "T-6": "mo-3" });
    await projectAll(ledger);
    expect((await downlinkOf(ledger, "hq")).sort()).toEqual(["T-1", "T-5", "T-6"]);
    // nothing has gone to this one yet
    await routePicks(revisions, "plant-a", ["lab"]);
    await write(whole);
    frames.forget({ site: "plant-a", lane: "transaction", batch: 2 });
    ahead += 10_000;
    await projectAll(ledger);
    expect((await downlinkOf(ledger, "hq")).slice(3)).toEqual(["T-3", "T-4"]);
    expect(await downlinkOf(ledger, "lab")).toEqual(["T-2", "T-3", "T-4"]);
    expect(await readAll(ledger)).toHaveLength(6);
    const told = storage.selectFrom("exceptions").selectAll().where("kind", "=", "overtaken");
    expect(await told.execute()).toMatchObject([
      { site: "plant-a", lane: "transaction", type: "mfg.pick.confirmed.v1", target: "hq", severity: "error", count: 1 },
    ]);
    const counted = (await ledger.completeness.of("plant-a")).lanes[0];
    expect(counted).toMatchObject({ messages: 5, waitingForProjection: 0, missing: 0 });
  });
});
