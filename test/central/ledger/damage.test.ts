import { describe, expect, it } from "vitest";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (kind) => {
  it("lets a batch that the disk damaged hold nobody back, and projects it once it can be read again", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, ingest, projector, completeness } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    for (const txn of ["T-1", "T-2", "T-3"]) {
      lane.append([delivered("plant-a", pick("plant-a", txn), "accepted")]);
      const batch = lane.batch(lane.last);
      expect(await ingest.record(headOf("plant-a", session, lane, batch), batch.body)).toMatchObject({
        kind: "recorded",
        watermark: lane.last,
      });
    }
    const second = await storage.selectFrom("batches").select("body").where("number", "=", 2).executeTakeFirstOrThrow();
    const body = Buffer.from(second.body);
    await storage
      .updateTable("batches")
      .set({ body: Buffer.alloc(body.length) })
      .where("number", "=", 2)
      .execute();
    const sequences = async () => (await readAll(ledger)).map(({ sequence }) => sequence).sort();
    for (let tries = 0; tries < 100 && (await sequences()).length < 2; tries++) await projector.step().catch(() => {});
    expect(await sequences()).toEqual([1, 3]);
    expect(await projector.step()).toBe(false);
    const alarms = () =>
      storage.selectFrom("exceptions").select(["kind", "first_sequence", "last_sequence", "ended_at"]).execute();
    expect(await alarms()).toEqual([{ kind: "ledger-damaged", first_sequence: 2, last_sequence: 2, ended_at: null }]);
    const counted = (await completeness.of("plant-a")).lanes[0];
    expect(counted).toMatchObject({ recorded: 3, messages: 2, waitingForProjection: 1, missing: 0 });
    await storage.updateTable("batches").set({ body }).where("number", "=", 2).execute();
    expect(await projector.step()).toBe(true);
    expect(await sequences()).toEqual([1, 2, 3]);
    expect((await alarms())[0]?.ended_at).toBeTypeOf("number");
    expect(await storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
    expect((await completeness.of("plant-a")).lanes[0]).toMatchObject({ messages: 3, waitingForProjection: 0, missing: 0 });
  });
});
