import { describe, expect, it } from "vitest";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger } from "../../support/ledger.ts";
import { delivered, pick, sample } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (kind) => {
  it("records a plant's transactions behind one group of samples at most, and samples behind one of transactions", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const backlog = new TestLane("plant-a", "telemetry");
    const facts = new TestLane("plant-b", "transaction");
    const [a, b] = [await beginSession(ledger, "plant-a", [backlog]), await beginSession(ledger, "plant-b", [facts])];
    const answered: string[] = [];
    const record = (site: string, session: string, lane: TestLane): Promise<unknown> => {
      const from = lane.last + 1;
      lane.append([site === "plant-a" ? sample(site, from) : delivered(site, pick(site, `T-${from}`), "accepted")]);
      const batch = lane.batch(from);
      return ledger.ingest.record(headOf(site, session, lane, batch), batch.body).then((outcome) => {
        expect(outcome).toMatchObject({ kind: "recorded" });
        answered.push(site);
      });
    };
    const all = Array.from({ length: 200 }, () => record("plant-a", a, backlog));
    for (let fact = 0; fact < 40; fact++) all.push(record("plant-b", b, facts));
    await Promise.all(all);
    const first = answered.indexOf("plant-b");
    // groups of 32: samples, facts, samples, facts, samples …
    expect(first).toBeLessThanOrEqual(32);
    expect(answered.lastIndexOf("plant-b")).toBeLessThan(first + 40 + 33);
    expect(answered.slice(first, first + 40)).toContain("plant-a");
  });
});
