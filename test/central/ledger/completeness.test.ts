import { describe, expect, it } from "vitest";
import { insertRows } from "../../../central/storage/bulk.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, type Ledger, openLedger } from "../../support/ledger.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** Every second number of a lane, as if so many holes had been recorded of it. */
async function everySecondLost({ storage }: Ledger, { lane, epoch }: TestLane, holes: number): Promise<void> {
  const rows = Array.from({ length: holes }, (_, index) => ({
    ...{ site: "plant-a", lane, epoch, reason: "age" as const, chain: "", at: 0 },
    first_sequence: 2 * index + 1,
    last_sequence: 2 * index + 1,
  }));
  const columns = ["site", "lane", "epoch", "first_sequence", "last_sequence", "reason", "chain", "at"] as const;
  await storage.transaction().execute((tx) => insertRows(tx, "holes", columns, rows));
  await storage
    .updateTable("epochs")
    .set({ watermark: 2 * holes })
    .where("epoch", "=", epoch)
    .execute();
}

describe.each(await storages())("on %s", (kind) => {
  it("calls nothing recorded that lies in holes which are too many to be listed", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "telemetry");
    await beginSession(ledger, "plant-a", [lane]);
    await everySecondLost(ledger, lane, 1000);
    const all = (await ledger.completeness.of("plant-a")).lanes[0];
    expect(all).toMatchObject({ listedFrom: 1, recorded: 1000, lost: 1000 });
    expect(all?.ranges).toHaveLength(1000);
    expect(all?.ranges[0]).toEqual({ first: 2, last: 2 });
    await ledger.storage.deleteFrom("holes").execute();
    await everySecondLost(ledger, lane, 1500);
    const some = (await ledger.completeness.of("plant-a")).lanes[0];
    expect(some).toMatchObject({ listedFrom: 1001, recorded: 1500, lost: 1500 });
    expect(some?.holes).toHaveLength(1000);
    expect(some?.ranges).toHaveLength(1000);
    expect(some?.ranges[0]).toEqual({ first: 1002, last: 1002 });
    expect(some?.summary).toContain("; 1,497 more lost earlier;");
  });
});
