import { describe, expect, it } from "vitest";
import { Ingest } from "../../../central/ledger/ingest.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick, sample } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

async function record(ledger: Ledger, session: string, site: string, lane: TestLane, from: number): Promise<void> {
  const batch = lane.batch(from);
  const outcome = await ledger.ingest.record(headOf(site, session, lane, batch), batch.body);
  expect(outcome).toMatchObject({ kind: "recorded", watermark: lane.last });
}

/** Events that need no grants: what gateways make themselves. */
const transaction = (site: string, id: string) => delivered(site, pick(site, id), "accepted");

describe.each(await storages())("on %s", (kind) => {
  it("shows a plant's transactions within two steps while another plant's hundred thousand samples wait", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const backlog = new TestLane("plant-a", "telemetry");
    const facts = new TestLane("plant-b", "transaction");
    const [a, b] = [await beginSession(ledger, "plant-a", [backlog]), await beginSession(ledger, "plant-b", [facts])];
    const frame = Array.from({ length: 1000 }, (_, index) => sample("plant-a", index));
    for (let from = 1; from <= 100_000; from = backlog.last + 1) {
      for (let frames = 0; frames < 20; frames++) backlog.append(frame);
      await record(ledger, a, "plant-a", backlog, from);
    }
    const seen: number[] = [];
    for (let round = 0; round < 5; round++) {
      const from = facts.last + 1;
      facts.append(Array.from({ length: 3 }, (_, index) => transaction("plant-b", `T-${round}-${index}`)));
      await record(ledger, b, "plant-b", facts, from);
      let steps = 0;
      const shown = async () =>
        (await ledger.storage.selectFrom("tallies").select("messages").where("site", "=", "plant-b").executeTakeFirst())
          ?.messages;
      while ((await shown()) !== facts.last) {
        expect(await ledger.projector.step()).toBe(true);
        steps++;
      }
      seen.push(steps);
    }
    expect(Math.max(...seen)).toBeLessThanOrEqual(2);
    // the backlog goes on as well
    const { lanes } = await ledger.completeness.of("plant-a");
    expect(lanes[0]?.waitingForProjection).toBeGreaterThan(0);
  });

  it("shows samples within eight steps while transactions never end", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const facts = new TestLane("plant-a", "transaction");
    const samples = new TestLane("plant-b", "telemetry");
    const [a, b] = [await beginSession(ledger, "plant-a", [facts]), await beginSession(ledger, "plant-b", [samples])];
    for (let frame = 0; frame < 12; frame++) {
      facts.append(Array.from({ length: 600 }, (_, index) => transaction("plant-a", `T-${frame}-${index}`)));
      await record(ledger, a, "plant-a", facts, facts.last - 599);
    }
    samples.append([sample("plant-b", 1)]);
    await record(ledger, b, "plant-b", samples, 1);
    let steps = 0;
    const projected = async () =>
      (await ledger.storage.selectFrom("tallies").selectAll().where("site", "=", "plant-b").execute()).length;
    while ((await projected()) === 0 && steps < 100) {
      await ledger.projector.step();
      steps++;
    }
    expect(steps).toBeLessThanOrEqual(8);
  });

  it("refuses a site's samples while too many of its messages wait for projection, its transactions never", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const [samples, facts] = [new TestLane("plant-a", "telemetry"), new TestLane("plant-a", "transaction")];
    const session = await beginSession(ledger, "plant-a", [samples, facts]);
    const ingest = new Ingest({ ...ledger, maxBacklog: 1500, recorded: (lanes) => ledger.projector.wake(lanes) });
    const send = async (lane: TestLane, from: number) => {
      const batch = lane.batch(from);
      return (await ingest.record(headOf("plant-a", session, lane, batch), batch.body)).kind;
    };
    const frame = Array.from({ length: 1000 }, (_, index) => sample("plant-a", index));
    for (let frames = 0; frames < 3; frames++) samples.append(frame);
    facts.append([transaction("plant-a", "T-1")]);
    expect(await send(samples, 2001)).toBe("gap");
    for (const from of [1, 1001]) {
      const batch = samples.batch(from, from + 999);
      expect((await ingest.record(headOf("plant-a", session, samples, batch), batch.body)).kind).toBe("recorded");
    }
    expect(await send(samples, 2001)).toBe("backlogged");
    expect(await send(facts, 1)).toBe("recorded");
    while (await ledger.projector.step());
    expect(await send(samples, 2001)).toBe("recorded");
  });

  it("projects many small batches of a lane in one step, in their order", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const facts = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [facts]);
    for (let index = 0; index < 50; index++) {
      facts.append([transaction("plant-a", `T-${index}`)]);
      await record(ledger, session, "plant-a", facts, facts.last);
    }
    let steps = 0;
    while (await ledger.projector.step()) steps++;
    expect(steps).toBe(1);
    expect((await readAll(ledger)).map(({ sequence }) => sequence)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
  });
});
