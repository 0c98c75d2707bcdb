import { join } from "node:path";
import { expect, it } from "vitest";
import type { Input } from "../../../gateway/connector/connector.ts";
import { wiringOf } from "../../../gateway/connector/wiring.ts";
import { encodeHandedDown, justNow } from "../../../gateway/link/handed-down.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import type { ShadowView } from "../../../gateway/rehearsal/shadow-flow.ts";
import type { CloudEvent } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { mapOf, type Pick, pick, pickFields, pickFlow, pickPlant } from "../../support/pick-plant.ts";
import { until } from "../../support/process.ts";

const urls = { wmsUrl: "mqtt://127.0.0.1:1", erpUrl: "http://127.0.0.1:1" };
const plant = (flows: Record<string, object>, revision = 1) => bundleOf(pickPlant({ ...urls, flows }), "lyon", revision);
const grams = mapOf({ ...pickFields, qtyPicked: '$quantity(payload.qty * 1000, "GRM")' });
const next = (more: object = {}, map = grams) => ({ ...pickFlow(map), mode: "shadow", ...more });

const input = (body: unknown, more: Partial<Input> = {}): Input => ({
  origin: { kind: "topic", topic: "wms/picks/1", retained: false },
  body: Buffer.from(JSON.stringify(body)),
  receivedAt: 1_795_500_000_000,
  ...more,
});
const accept = (parts: Parts, ...picks: Pick[]) => parts.connector("wms").inlet.accept(picks.map((each) => input(each)));

const seen = ({ same, different, onlyShadow, onlyLive, refused, skipped }: ShadowView) =>
  same + different + onlyShadow + onlyLive + refused + skipped;
/** The flow's view, once so many messages or refusals are counted. */
async function counted(parts: Parts, count: number, flow = "next"): Promise<ShadowView> {
  const view = () => parts.rehearsal.shadowViews().find((each) => each.flow === flow);
  return (await until(view, (found) => found !== undefined && seen(found) >= count)) as ShadowView;
}
function queueOf(parts: Parts) {
  using reader = new QueueReader(join(parts.dataDir, "queue.sqlite"));
  const { lanes, deadLetters } = reader.depth();
  const events = [...reader.messages("transaction")].map(({ line }) => JSON.parse(line) as CloudEvent);
  return {
    lanes,
    deadLetters,
    dead: reader.deadLetters.search({ limit: 100 }),
    flows: [...new Set(events.map(({ flow }) => flow))],
  };
}

it("tells by field what a flow in shadow would do otherwise with what a live flow takes, and does none of it", async () => {
  const sent: string[] = [];
  const receiver = {
    deliver: ({ event }: { event: CloudEvent }) => {
      sent.push(event.flow ?? "");
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { wms: receiver, erp: receiver } });
  await parts.apply(await plant({ next: next() }));
  const receipt = await accept(parts, pick(1), pick(2), pick(0));
  expect(receipt).toMatchObject({ recorded: 3, deadLetterIds: [] });
  const view = await counted(parts, 3);
  expect(view).toMatchObject({ against: ["picks"], same: 0, different: 3, onlyShadow: 0, onlyLive: 0, refused: 0, skipped: 0 });
  expect(view.fields.map(({ path, count }) => [path, count])).toEqual(
    expect.arrayContaining([
      ["data.qtyPicked.unitCode", 3],
      ["data.qtyPicked.value", 2],
      ["to.wms.topic.body.qty", 2],
    ]),
  );
  expect(view.recent[0]).toMatchObject({ verdict: "different", would: { data: { qtyPicked: { unitCode: "GRM" } } } });
  await until(
    () => sent.length,
    (count) => count === 6,
  );
  expect(new Set(sent)).toEqual(new Set(["picks"]));
  expect(queueOf(parts)).toMatchObject({ deadLetters: 0, flows: expect.not.arrayContaining(["next"]) });
});

it("counts as the same what differs in nothing but its name and its time", async () => {
  await using parts = await openParts();
  await parts.apply(await plant({ next: next({}, mapOf(pickFields)) }));
  await accept(parts, pick(1));
  expect(await counted(parts, 1)).toMatchObject({ same: 1, different: 0, fields: [] });
});

it("counts what only one of both makes, and what the one in shadow refuses", async () => {
  await using parts = await openParts();
  const narrow = { from: { connector: "wms", topic: "wms/picks/1" } };
  const strict = next(narrow, mapOf({ ...pickFields, sscc: "payload.sscc" }));
  await parts.apply(await plant({ next: strict, other: next({ from: { connector: "wms", topic: "wms/other/+" } }) }));
  await accept(parts, pick(1, { sscc: "340123450000000018" }), pick(2, { sscc: "none" }));
  await parts
    .connector("wms")
    .inlet.accept([input(pick(3), { origin: { kind: "topic", topic: "wms/picks/2", retained: false } })]);
  const strictView = await counted(parts, 3);
  expect(strictView).toMatchObject({ different: 1, refused: 1, onlyLive: 1, onlyShadow: 0 });
  expect(strictView.reasons).toMatchObject([{ code: "INPUT_INVALID", count: 1 }]);
  // what only a flow in shadow takes is not accepted: it is neither on disk nor a dead letter
  const receipt = await parts
    .connector("wms")
    .inlet.accept([input(pick(4), { origin: { kind: "topic", topic: "wms/other/1", retained: false } })]);
  expect(receipt).toMatchObject({ recorded: 0, deadLetterIds: [] });
  expect(await counted(parts, 4, "other")).toMatchObject({ onlyShadow: 1 });
  expect(queueOf(parts).deadLetters).toBe(0);
});

it("never delays what is live, whatever a flow in shadow does: its expressions run in a thread of their own", async () => {
  await using parts = await openParts();
  const endless = mapOf({ ...pickFields, lot: "($f := function($n) { $f($n + 1) }; $f(0))" });
  await parts.apply(
    await plant({ next: next({}, endless), picks: pickFlow(mapOf({ ...pickFields, lot: "$string(payload.lot)" })) }),
  );
  const receipts = await Promise.all(Array.from({ length: 5 }, (_, number) => accept(parts, pick(number))));
  expect(receipts.map(({ recorded }) => recorded)).toEqual([1, 1, 1, 1, 1]);
  const view = await counted(parts, 5);
  expect(view.refused).toBe(5);
  expect(["MAPPING_TIMEOUT", "MAPPING_FAILED"]).toContain(view.reasons[0]?.code);
  expect(queueOf(parts)).toMatchObject({ deadLetters: 0 });
});

it("keeps its counts over a restart, and begins anew when one of its flows is changed", async () => {
  using folder = temporaryFolder();
  let since: string;
  {
    await using parts = await openParts({ folder: folder.path });
    await parts.apply(await plant({ next: next() }));
    await accept(parts, pick(1));
    ({ since } = await counted(parts, 1));
  }
  await using parts = await openParts({ folder: folder.path });
  await parts.apply(await plant({ next: next() }));
  await accept(parts, pick(2));
  expect(await counted(parts, 2)).toMatchObject({
    different: 2,
    since,
    recent: [{ key: expect.any(String) }, { key: expect.any(String) }],
  });
  await parts.apply(await plant({ next: next({ purpose: "Another one" }) }, 2));
  expect(parts.rehearsal.shadowViews()).toMatchObject([{ flow: "next", different: 0, recent: [] }]);
  await parts.apply(await plant({}, 3));
  expect(parts.rehearsal.shadowViews()).toEqual([]);
});

it("has a cursor of its own where it polls, and leaves the live one where it stands", async () => {
  const poll = { connector: "erp", poll: "/picks?since={cursor}", cursor: "payload.next", every: "1s" };
  const flow = (mode: string, map: string) => ({ ...pickFlow(map), from: poll, split: "payload.lines", mode });
  const lines = (map: Record<string, string>) =>
    mapOf(Object.fromEntries(Object.entries(map).map(([field, text]) => [field, text.replaceAll("payload.", "line.")])));
  await using parts = await openParts();
  const page = (at: string, ...picks: Pick[]) => ({ next: at, lines: picks });
  const ask = (name: string, body: object) =>
    parts.connector("erp").inlet.accept([input(body, { origin: { kind: "poll", flow: name } })]);
  const cursor = (name: string) => parts.connector("erp").inlet.cursor(`poll/${name}`);
  const live = flow("live", lines(pickFields));
  await parts.apply(await plant({ polled: live, next: flow("shadow", lines({ ...pickFields, lot: '"X"' })) }));
  await ask("polled", page("10", pick(1), pick(2)));
  expect(await cursor("polled")).toBe("10");
  expect(await cursor("next")).toBeUndefined();
  await ask("next", page("7", pick(1)));
  await until(
    () => cursor("next"),
    (value) => value === "7",
  );
  await ask("next", page("10", pick(2)));
  expect(await counted(parts, 2)).toMatchObject({ against: ["polled"], different: 2, onlyLive: 0, onlyShadow: 0 });
  expect(await cursor("polled")).toBe("10");
  // polls overlap: what both had is not waited for again
  await ask("polled", page("10", pick(1), pick(2)));
  await ask("next", page("10", pick(3)));
  await ask("polled", page("11", pick(3)));
  expect(await counted(parts, 3)).toMatchObject({ different: 3, onlyLive: 0, onlyShadow: 0 });

  // the live one goes into shadow: it goes on from where it stood, and commits nothing; live again it goes on from there too
  await parts.apply(await plant({ polled: { ...live, mode: "shadow" } }, 2));
  expect(await cursor("polled")).toBe("11");
  await ask("polled", page("20", pick(3)));
  await until(
    () => cursor("polled"),
    (value) => value === "20",
  );
  await parts.apply(await plant({ polled: live }, 3));
  expect(await cursor("polled")).toBe("11");
});

it("compares what it would do with a message from central with what is done, and a message that only it takes goes nowhere", async () => {
  const order = { central: "production-order.released" };
  const sent: string[] = [];
  const receiver = {
    deliver: (message: { kind: string; body?: Uint8Array }) => {
      sent.push(Buffer.from(message.body ?? "").toString());
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { wms: receiver, erp: receiver } });
  const to = (body: string) => ({ purpose: "Orders", from: order, to: [{ connector: "wms", topic: "echo/{data.moId}", body }] });
  await parts.apply(await plant({ orders: to("data.moId"), next: { ...to('data.moId & "!"'), mode: "shadow" } }));
  const handDown = async (number: number) => {
    const event = orderEvent(number);
    const body = JSON.stringify(event);
    await parts.queue.commit({
      messages: [{ lane: "inbound", line: body, input: 0 }],
      inputs: [encodeHandedDown(justNow)],
      from: { connector: "central", place: "downlink", receivedAt: 1 },
    });
  };
  await handDown(1);
  const view = await counted(parts, 1);
  expect(view).toMatchObject({
    against: ["orders"],
    different: 1,
    fields: [{ path: "to.wms.topic.body", before: "MO-1", after: "MO-1!" }],
  });
  await until(
    () => sent.length,
    (count) => count === 1,
  );
  await parts.apply(
    await plant({ orders: { ...to("data.moId"), mode: "off" }, next: { ...to('data.moId & "!"'), mode: "shadow" } }, 2),
  );
  await handDown(2);
  expect(await counted(parts, 1)).toMatchObject({ against: [], onlyShadow: 1 });
  expect(queueOf(parts).deadLetters).toBe(0);
  // with nobody but a flow that is off it is kept for a person
  await parts.apply(await plant({ orders: { ...to("data.moId"), mode: "off" } }, 3));
  await handDown(3);
  await until(
    () => queueOf(parts).dead,
    (dead) => dead.length === 1 && dead[0]?.reason.includes("switched off") === true,
  );
  expect(sent).toHaveLength(1);
});

it("delivers what a flow accepted before it was switched off, and takes nothing more", async () => {
  let isUp = false;
  const sent: string[] = [];
  const receiver = {
    report: (): "up" | "down" => (isUp ? "up" : "down"),
    deliver: ({ event }: { event: CloudEvent }) => {
      if (!isUp) return { kind: "retry" as const, reason: "away" };
      sent.push(event.idempotencykey ?? "");
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { erp: receiver } });
  await parts.apply(await plant({}));
  await accept(parts, pick(1));
  const off = await plant({ picks: { ...pickFlow(mapOf(pickFields)), mode: "off" } }, 2);
  await parts.apply(off);
  expect(wiringOf(off, "wms").topics).toEqual([]);
  isUp = true;
  parts.host.ring(new Set(["erp"]));
  await until(
    () => sent,
    (all) => all.length === 1,
  );
  expect(sent).toEqual(["T-1/1"]);
});

function orderEvent(number: number): CloudEvent {
  return {
    specversion: "1.0",
    id: `order-${number}`,
    source: "urn:plantgate:hq:erp",
    type: "mfg.production-order.released.v1",
    subject: `production-order/MO-${number}`,
    time: "2026-11-27T08:00:00.000Z",
    datacontenttype: "application/json",
    dataschema: "urn:plantgate:schema:mfg.production-order.released.v1",
    recordedtime: "2026-11-27T08:00:00.000Z",
    site: "hq",
    partitionkey: `MO-${number}`,
    data: { moId: `MO-${number}` },
  };
}
