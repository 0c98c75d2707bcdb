import { describe, expect, it } from "vitest";
import type { ExceptionView, LedgerGap, MessagesAnswer, OrderView } from "../../../central/http/views.ts";
import { type Clock, systemClock } from "../../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import type { TestGateway, TestLane } from "../../support/gateway-client.ts";
import { pick } from "../../support/messages.ts";
import { statement } from "../../support/sabotage.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

interface Scene {
  readonly central: TestCentral;
  readonly plant: TestGateway;
  readonly hq: TestGateway;
  readonly lane: TestLane;
}

/** A plant whose picks go to hq. */
async function scene(central: TestCentral): Promise<Scene> {
  const [plant, hq] = [await central.addSite("plant-a"), await central.addSite("hq")];
  const files = (options: Parameters<typeof siteDocuments>[0]) => ({ files: siteDocuments(options) });
  await central.admin("POST", "/v1/sites/plant-a/revisions", files({ site: "plant-a", send: ["pick.confirmed"] }));
  const consumer = files({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
  await central.admin("POST", "/v1/sites/hq/revisions", consumer);
  const lane = plant.lane("transaction");
  await plant.hello([lane]);
  await hq.hello();
  return { central, plant, hq, lane };
}

/** A pick of an order is a message of that order's key. */
async function send({ central, plant, lane }: Scene, picks: readonly (readonly [txn: string, order: string])[]): Promise<void> {
  const from = lane.last + 1;
  lane.append(picks.map(([txn, moId]) => pick("plant-a", txn, { moId, key: moId })));
  expect((await plant.send(lane, lane.batch(from))).status).toBe(200);
  await eventually(
    () => central.admin<{ lanes: { waitingForProjection: number }[] }>("GET", "/v1/completeness?site=plant-a"),
    ({ body }) => body.lanes.every(({ waitingForProjection }) => waitingForProjection === 0),
  );
}
const poll = async ({ hq }: Scene, at: { epoch?: string; sequence?: number } = {}) => {
  const { body } = await hq.downlink({ ...at, knownRevision: 1 });
  const last = body.messages.at(-1)?.sequence ?? at.sequence ?? 0;
  const txns = body.messages.map(({ event }) => (event as { data: { txnId: string } }).data.txnId);
  return { txns, at: { epoch: body.epoch, sequence: last } };
};
const exceptions = async (central: TestCentral) =>
  (await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions")).body.exceptions;

/** Takes the second batch's body away until it is repaired; what is held of it in memory goes with a restart. */
async function damageSecond({ central }: Scene, clock: Clock): Promise<() => Promise<void>> {
  await statement(central, "CREATE TABLE kept AS SELECT body FROM batches WHERE number = 2");
  await statement(central, `UPDATE batches SET body = ${central.database ? "'\\x00'" : "x'00'"} WHERE number = 2`);
  await central.restart({ clock });
  return () => statement(central, "UPDATE batches SET body = (SELECT body FROM kept) WHERE number = 2");
}

describe.each(await storages())("on %s, a batch that became unreadable after it was projected", (storage) => {
  async function start() {
    let ahead = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + ahead };
    const central = await startTestCentral({ storage, parts: { clock } });
    const pass = (ms: number): void => {
      ahead += ms;
    };
    return { central, clock, pass };
  }

  it("holds back what shares its keys and nothing else, with an alarm, and is handed out in order once it is repaired", async () => {
    const { central, clock, pass } = await start();
    await using _ = central;
    const own = await scene(central);
    await send(own, [["T-1", "mo-1"]]);
    await send(own, [["T-2", "mo-2"]]);
    await send(own, [
      ["T-3", "mo-1"],
      ["T-4", "mo-2"],
    ]);
    const repair = await damageSecond(own, clock);
    const first = await poll(own);
    expect(first.txns).toEqual(["T-1", "T-3"]);
    await send(own, [
      ["T-5", "mo-2"],
      ["T-6", "mo-3"],
    ]);
    const second = await poll(own, first.at);
    expect(second.txns).toEqual(["T-6"]);
    expect(await exceptions(central)).toMatchObject([
      { kind: "ledger-damaged", site: "plant-a", lane: "transaction", count: 1, range: { first: 2, last: 2 }, endedAt: null },
    ]);
    expect((await poll(own, second.at)).txns).toEqual([]);
    await repair();
    // routed behind them, and not looked at yet when they are let go
    await send(own, [["T-7", "mo-2"]]);
    pass(10_000);
    const third = await eventually(
      () => poll(own, second.at),
      ({ txns }) => txns.length === 4,
    );
    expect(third.txns).toEqual(["T-2", "T-4", "T-5", "T-7"]);
    expect((await poll(own, third.at)).txns).toEqual([]);
    await eventually(
      () => exceptions(central),
      ([alarm]) => alarm?.endedAt !== null,
    );
    const { body } = await central.admin<{ lanes: object[] }>("GET", "/v1/completeness?site=plant-a");
    expect(body.lanes).toMatchObject([{ messages: 7, waitingForProjection: 0, missing: 0 }]);
  });

  it("is a gap in the ledger's pages that says where it is, and is missing from its orders by name", async () => {
    const { central, clock } = await start();
    await using _ = central;
    const own = await scene(central);
    for (const txn of ["T-1", "T-2", "T-3"]) await send(own, [[txn, "mo-1"]]);
    await damageSecond(own, clock);
    const { messages, gaps } = (await central.admin<MessagesAnswer>("GET", "/v1/messages?limit=10")).body;
    expect(messages.map(({ sequence }) => sequence)).toEqual([1, 3]);
    const position = (messages[0]?.position ?? 0) + 1;
    const gap = { position, site: "plant-a", lane: "transaction", unreadable: { firstPosition: position, first: 2, last: 2 } };
    expect(gaps).toMatchObject([gap]);
    const answer = await fetch(`${central.url}/v1/messages?limit=2`, {
      headers: { authorization: `Bearer ${central.adminToken}`, accept: "application/x-ndjson" },
    });
    const lines = (await answer.text()).trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as LedgerGap).unreadable?.first ?? null)).toEqual([null, 2, null]);
    // whoever waits at a gap passes it
    await statement(central, "DELETE FROM slices WHERE first_sequence = 3");
    const last = (await central.admin<MessagesAnswer>("GET", `/v1/messages?after=${position - 1}&waitMs=50`)).body;
    expect(last).toMatchObject({ messages: [], gaps: [gap], next: position });
    expect((await central.admin<MessagesAnswer>("GET", `/v1/messages?after=${position}`)).body).toMatchObject({
      messages: [],
      next: null,
    });
  });

  it("leaves an order's other messages readable", async () => {
    const { central, clock } = await start();
    await using _ = central;
    const own = await scene(central);
    for (const txn of ["T-1", "T-2", "T-3"]) await send(own, [[txn, "mo-1"]]);
    await damageSecond(own, clock);
    const { status, body } = await central.admin<OrderView>("GET", "/v1/orders/mo-1");
    expect(status).toBe(200);
    expect(body.messages.map(({ sequence }) => sequence)).toEqual([1, 3]);
    expect(body.unreadable).toMatchObject([{ site: "plant-a", lane: "transaction", sequence: 2 }]);
  });
});
