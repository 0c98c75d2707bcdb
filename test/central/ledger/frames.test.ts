import { setTimeout as pause } from "node:timers/promises";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { CloudEvent } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** Two events whose frames are of one length, so that nothing but their content tells them apart. */
function sameSize(): [CloudEvent, CloudEvent] {
  const make = () => delivered("plant-a", pick("plant-a", "T-1"), "accepted");
  const size = (event: CloudEvent): number => zstdCompressSync(`${JSON.stringify(event)}\n`).length;
  const first = make();
  for (;;) {
    const second = make();
    if (size(second) === size(first)) return [first, second];
  }
}

describe.each(await storages())("on %s", (kind) => {
  it("reads what is recorded, not what a lost batch of the same number had held", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, ingest, projector } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    const record = async (from: TestLane) => {
      const batch = from.batch();
      expect(await ingest.record(headOf("plant-a", session, from, batch), batch.body)).toMatchObject({ kind: "recorded" });
      while (await projector.step());
      return (await readAll(ledger)).map(({ event }) => (event as { id: string }).id);
    };
    const [first, second] = sameSize();
    lane.append([first]);
    const other = new TestLane("plant-a", "transaction", { epoch: lane.epoch });
    other.append([second]);
    expect(await record(lane)).toEqual([first.id]);
    // what a failover takes back that lost the end
    for (const table of ["slices", "batches", "tallies"] as const) await storage.deleteFrom(table).execute();
    await storage.updateTable("lanes").set({ batches: 0, recorded: 0 }).execute();
    await storage.updateTable("projections").set({ batch: 1, done: 0, projected: 0, attempts: 0 }).execute();
    await storage
      .updateTable("epochs")
      .set((eb) => ({ watermark: 0, chain: eb.ref("first_chain") }))
      .execute();
    await pause(5);
    // a new process's worth of attempts, on the same texts
    projector.wake([{ site: "plant-a", lane: "transaction" }]);
    expect(await record(other)).toEqual([second.id]);
  });
});
