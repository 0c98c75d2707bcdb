import { describe, expect, it } from "vitest";
import type { LossesAnswer, UnconfirmedAnswer } from "../../../central/http/api/losses.ts";
import type { CompletenessAnswer, ExceptionView, MessagesAnswer } from "../../../central/http/views.ts";
import type { CloudEvent } from "../../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import type { TestGateway, TestLane } from "../../support/gateway-client.ts";
import { delivered, pick, sample } from "../../support/messages.ts";
import { signInAs } from "../../support/people.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

async function site(central: TestCentral, name: string, options: Omit<Parameters<typeof siteDocuments>[0], "site">) {
  const gateway = await central.addSite(name);
  const pushed = await central.admin("POST", `/v1/sites/${name}/revisions`, { files: siteDocuments({ site: name, ...options }) });
  expect(pushed.status, JSON.stringify(pushed.body)).toBe(201);
  return gateway;
}
const report = ({ lane, epoch }: TestLane, last: number, acknowledged: number) => ({
  ...{ lane, epoch, last, acknowledged, waitingBytes: 0 },
});
const alarms = async (central: TestCentral, kind: string) =>
  (await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions")).body.exceptions.filter(
    (alarm) => alarm.kind === kind,
  );
const losses = async (central: TestCentral) => (await central.admin<LossesAnswer>("GET", "/v1/sites/hq/losses")).body;
const unconfirmed = async (central: TestCentral) =>
  (await central.admin<UnconfirmedAnswer>("GET", "/v1/sites/hq/losses/unconfirmed")).body.messages;
const recorded = (central: TestCentral, count: number) =>
  eventually(
    () => central.admin<MessagesAnswer>("GET", "/v1/messages"),
    ({ body }) => body.messages.length === count,
  );

/** An outcome of the delivery that the site's flow makes of it. */
const ofTheFlow = (of: CloudEvent, outcome: Parameters<typeof delivered>[2], flow = 0): CloudEvent =>
  delivered("hq", of, outcome, { to: { connector: "broker", destination: `out/${flow}` } });

describe.each(await storages())("what went with a gateway's disk, on %s", (storage) => {
  it("is stated of each lane as a range with both ends and where they are from", async () => {
    await using central = await startTestCentral({ storage });
    const hq = await site(central, "hq", { send: ["pick.confirmed"] });
    const [transaction, bulk, telemetry] = [hq.lane("transaction"), hq.lane("bulk"), hq.lane("telemetry")];
    const picks = Array.from({ length: 8 }, (_, at) => pick("hq", `T-${at}`));
    for (const event of picks) transaction.append([event]);
    telemetry.append([sample("hq", 1)]);
    await hq.hello([transaction, bulk, telemetry]);
    await hq.send(transaction, transaction.batch(1, 5));
    await hq.send(telemetry);
    expect((await losses(central)).lanes).toEqual([]);
    // it took in three more, and one that it never told of
    const said = await hq.status({ lanes: [report(transaction, 8, 5), report(telemetry, 1, 1)] });
    expect(said.status).toBe(200);

    const fresh = [hq.lane("transaction"), hq.lane("bulk"), hq.lane("telemetry")];
    await hq.hello(fresh);
    const { lanes } = await losses(central);
    const of = (lane: string) => lanes.find((each) => each.lane === lane);
    expect(lanes).toHaveLength(3);
    expect(of("transaction")).toMatchObject({
      epoch: transaction.epoch,
      first: 6,
      last: 8,
      count: 3,
      saidAt: expect.any(String),
    });
    expect(of("transaction")?.summary).toMatch(/^6 to 8 lost: its gateway's last report, of 2.*Z, spoke of 8; .* not known$/);
    expect(of("telemetry")).toMatchObject({ first: 2, last: 1, count: 0 });
    // no report ever spoke of it
    expect(of("bulk")).toMatchObject({ first: 1, last: null, count: null, saidAt: null });
    expect((await alarms(central, "epoch-changed")).find(({ lane }) => lane === "transaction")).toMatchObject({
      range: { first: 6, last: 8 },
      reason: expect.stringContaining("6 to 8 lost"),
    });
    const complete = (await central.admin<CompletenessAnswer>("GET", "/v1/completeness?site=hq")).body.lanes;
    const old = complete.find(({ epoch }) => epoch === transaction.epoch);
    expect(old).toMatchObject({ recorded: 5, missing: 0, loss: { first: 6, last: 8, count: 3 } });
    expect(old?.summary).toMatch(/^1 to 5 recorded; nothing missing; 6 to 8 lost/);
    expect(complete.find(({ epoch }) => epoch === fresh[0]?.epoch)).toMatchObject({ loss: null });

    // the new gateway's reports change nothing of it; the old disk, found again, does
    await hq.status({ lanes: fresh.map((lane) => report(lane, 40, 0)) });
    expect((await losses(central)).lanes).toEqual(lanes);
    await hq.hello([transaction]);
    await hq.send(transaction, transaction.batch(6, 8));
    expect((await losses(central)).lanes.find((each) => each.lane === "transaction")).toMatchObject({ count: 0, last: 8 });
  });

  it("is listed of what it had acknowledged and reported no end of, and sent again when a person says so", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await site(central, "plant", { send: ["pick.confirmed"] });
    const hq = await site(central, "hq", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
    const [facts, outcomes] = [plant.lane("transaction"), hq.lane("transaction")];
    await plant.hello([facts]);
    await hq.hello([outcomes]);
    const events = [1, 2, 3, 4, 5].map((at) => pick("plant", `T-${at}`, { moId: at >= 3 ? "MO-B" : `MO-${at}` }));
    const [first, second] = events as [CloudEvent, CloudEvent];
    facts.append(events);
    await plant.send(facts);
    await recorded(central, 5);
    const poll = (gateway: TestGateway, ack: { epoch?: string; sequence?: number }) =>
      gateway.downlink({ knownRevision: 1, ...ack });
    const { epoch, messages } = (await poll(hq, {})).body;
    expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5]);
    // nothing is lost of what was never acknowledged
    expect((await losses(central)).downlink).toBeNull();
    await poll(hq, { epoch, sequence: 4 });
    outcomes.append([ofTheFlow(first, "delivered"), ofTheFlow(second, "unknown")]);
    await hq.send(outcomes);
    await recorded(central, 7);

    // another disk: it knows nothing, and asks from the beginning
    await hq.hello([hq.lane("transaction")]);
    const begun = (await poll(hq, {})).body;
    expect(begun.messages.map(({ sequence }) => sequence)).toEqual([5]);
    await poll(hq, { epoch, sequence: 5 });
    expect((await losses(central)).downlink).toMatchObject({ upTo: 4, at: expect.any(String) });
    const open = await unconfirmed(central);
    expect(open.map(({ sequence, message }) => [sequence, message?.id])).toEqual([
      [4, events[3]?.id],
      [3, events[2]?.id],
      [2, second.id],
    ]);
    expect(open.map((each) => each.open.map(({ outcome }) => outcome))).toEqual([[], [], ["unknown"]]);
    expect(await alarms(central, "downlink-lost")).toMatchObject([
      { count: 3, reason: expect.stringContaining("of 3 no delivery, or not every one,") },
    ]);

    const again = (body: object) =>
      central.admin<{ detail?: string; sent?: number }>("POST", "/v1/sites/hq/losses/send-again", body);
    const reader = await signInAs(central, "vera");
    expect((await reader.call("GET", "/v1/sites/hq/losses")).status).toBe(200);
    expect((await reader.call("POST", "/v1/sites/hq/losses/send-again", { sequences: [2] })).status).toBe(403);
    // T-5 of their order went to the new gateway meanwhile
    expect(await again({ sequences: [3, 4] })).toMatchObject({ status: 409, body: { detail: expect.stringContaining("3, 4") } });
    expect(await again({ sequences: [5] })).toMatchObject({ status: 409 });
    // a mistyped number of one that was delivered
    expect(await again({ sequences: [1, 2] })).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining("over: 1;") },
    });
    expect(await again({ sequences: [2] })).toMatchObject({ status: 200, body: { sent: 1 } });
    expect(await again({ sequences: [4, 3], outOfOrder: true })).toMatchObject({ status: 200, body: { sent: 2 } });
    const sent = (await poll(hq, { epoch, sequence: 5 })).body.messages;
    expect(sent.map(({ sequence, event, again: marked }) => [sequence, (event as { id: string }).id, marked])).toEqual([
      [6, second.id, true],
      [7, events[2]?.id, true],
      [8, events[3]?.id, true],
    ]);
    expect(await unconfirmed(central)).toEqual([]);
    const entries = (await central.admin<{ entries: { action: string }[] }>("GET", "/v1/audit?action=downlink.sentAgain")).body;
    expect(entries.entries).toHaveLength(2);
    expect((await central.admin("GET", "/v1/sites/nowhere/losses")).status).toBe(404);
  });

  it("is listed too of what has two destinations and one reported end, or one that no flow names", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await site(central, "plant", { send: ["pick.confirmed"] });
    const take = { type: "pick.confirmed" };
    const hq = await site(central, "hq", { receive: ["pick.confirmed"], consumes: [take, take, { ...take, mode: "off" }] });
    const [facts, outcomes] = [plant.lane("transaction"), hq.lane("transaction")];
    await plant.hello([facts]);
    await hq.hello([outcomes]);
    const events = [1, 2, 3].map((at) => pick("plant", `T-${at}`));
    const [both, one, other] = events as [CloudEvent, CloudEvent, CloudEvent];
    facts.append(events);
    await plant.send(facts);
    await recorded(central, 3);
    const { epoch } = (await hq.downlink({ knownRevision: 1 })).body;
    await hq.downlink({ knownRevision: 0, epoch, sequence: 3 });
    outcomes.append([
      ofTheFlow(both, "delivered", 0),
      ofTheFlow(both, "refused", 1),
      ofTheFlow(one, "delivered", 1),
      delivered("hq", other, "delivered"),
    ]);
    await hq.send(outcomes);
    await recorded(central, 7);
    await hq.hello([hq.lane("transaction")]);
    await hq.downlink({ knownRevision: 0 });
    const [first, second] = [0, 1].map((flow) => ({ connector: "broker", destination: `out/${flow}` }));
    expect(await unconfirmed(central)).toMatchObject([
      { message: { id: other.id }, open: [], ended: [{ connector: "press-7" }], unreported: [first, second] },
      { message: { id: one.id }, open: [], ended: [{ ...second, outcome: "delivered" }], unreported: [first] },
    ]);
    expect(await alarms(central, "downlink-lost")).toMatchObject([{ count: 2 }]);
    // no flow takes them any more: where they went nobody can tell
    const pushed = await central.admin("POST", "/v1/sites/hq/revisions", { files: siteDocuments({ site: "hq" }) });
    expect(pushed.status, JSON.stringify(pushed.body)).toBe(201);
    expect((await unconfirmed(central)).map(({ message, unreported }) => [message?.id, unreported])).toEqual([
      [other.id, null],
      [one.id, null],
      [both.id, null],
    ]);
  });

  it("raises its alarm although all of the newest hundreds were delivered", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await site(central, "plant", { send: ["pick.confirmed"] });
    const hq = await site(central, "hq", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
    const [facts, outcomes] = [plant.lane("transaction"), hq.lane("transaction")];
    await plant.hello([facts]);
    await hq.hello([outcomes]);
    const events = Array.from({ length: 501 }, (_, at) => pick("plant", `T-${at}`, { moId: `MO-${at}` }));
    facts.append(events);
    await plant.send(facts);
    const all = (count: number) =>
      eventually(
        async () => (await central.admin<MessagesAnswer>("GET", "/v1/messages?limit=5000")).body.messages.length,
        (found) => found === count,
      );
    await all(501);
    let ack: { epoch?: string; sequence?: number } = {};
    while ((ack.sequence ?? 0) < 501) {
      const { epoch, messages } = (await hq.downlink({ knownRevision: 1, ...ack })).body;
      ack = { epoch, sequence: messages.at(-1)?.sequence ?? ack.sequence ?? 0 };
    }
    await hq.downlink({ knownRevision: 0, ...ack });
    outcomes.append(events.slice(1).map((event) => ofTheFlow(event, "delivered")));
    await hq.send(outcomes);
    await all(1001);
    await hq.hello([hq.lane("transaction")]);
    await hq.downlink({ knownRevision: 0 });
    expect(await alarms(central, "downlink-lost")).toMatchObject([
      { count: 1, reason: expect.stringContaining("of 1 no delivery") },
    ]);
  });
});
