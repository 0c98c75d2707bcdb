import { expect, it } from "vitest";
import type { Input } from "../../../gateway/connector/connector.ts";
import { Changeover } from "../../../gateway/flow/changeover.ts";
import { Intake, type IntakeDeps } from "../../../gateway/flow/intake.ts";
import type { MapResult } from "../../../gateway/flow/mapping.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, queuePolicy, systemClock } from "../../../protocol/index.ts";
import { pickMap, pickPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, recorded } from "../../support/queue-on-disk.ts";

const silent = openLogger({ level: "silent", site: "lyon" });
const lyon = () => bundleOf(plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" }), "lyon");
/** With a function of JSONata's own, so that it is evaluated in another thread. */
const pickInThread = pickMap.replace("line.lot", "$string(line.lot)");
const pick = (body: string | Uint8Array, more: Partial<Input> = {}): Input => ({
  origin: { kind: "topic", topic: "wms/picks/PK-7/confirmed", retained: false },
  body: typeof body === "string" ? Buffer.from(body) : body,
  receivedAt: 1_795_500_000_000,
  ...more,
});

const onDisk = (parts: Parts) => ({ events: recorded(parts), dead: deadLetters(parts) });

it("makes one message a line of a pick, with its keys, and is done when they are on disk", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const receipt = await parts.connector("wms").inlet.accept([pick(pickPayload({ txn: "T-1", lines: 2 }))]);
  const { events } = onDisk(parts);
  expect(receipt).toMatchObject({ recorded: 2, repeats: 0, deadLetterIds: [], id: events[0]!.id });
  expect(
    events.map(({ type, partitionkey, idempotencykey, flow, site }) => ({ type, partitionkey, idempotencykey, flow, site })),
  ).toEqual(
    [1, 2].map((line) => ({
      type: "mfg.pick.confirmed.v1",
      partitionkey: "hq-mo-42",
      idempotencykey: `T-1/${line}`,
      flow: "picks",
      site: "lyon",
    })),
  );
});

it("carries an SSCC of 18 digits unchanged, though it came as a JSON number", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  await parts.connector("wms").inlet.accept([pick(pickPayload({ txn: "T-1" }))]);
  expect(onDisk(parts).events[0]!.data).toMatchObject({
    sscc: "340123450000000018",
    qtyPicked: { value: "12.5", unitCode: "KGM" },
  });
});

const bad: [string, string | Uint8Array, string][] = [
  ["a payload that is not JSON", "{ broken", "INPUT_NOT_JSON"],
  ["bytes that are not text", new Uint8Array([0xff, 0xfe, 0x00]), "INPUT_NOT_JSON"],
  [
    "a payload that fails its schema",
    pickPayload({ txn: "T-1" }).replace('"at":"2026-11-24T08:00:00.000Z"', '"at":"yesterday"'),
    "INPUT_INVALID",
  ],
  ["an unknown unit", pickPayload({ txn: "T-1", uom: "FURLONG" }), "UNIT_UNKNOWN"],
  ["a payload that lacks a part of its key", pickPayload({ txn: "T-1" }).replace('"txn":"T-1",', ""), "INPUT_INVALID"],
  ["a payload larger than the limit", `{"txn":"T-1","filler":"${"x".repeat(3 * 1024 * 1024)}"}`, "INPUT_TOO_LARGE"],
];
it.each(bad)("keeps %s as a dead letter with the raw bytes, and acknowledges it", async (_name, body, code) => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const receipt = await parts.connector("wms").inlet.accept([pick(body)]);
  const { dead, events } = onDisk(parts);
  expect(events).toEqual([]);
  expect(dead).toMatchObject([
    { id: receipt.deadLetterIds[0], code, connector: "wms", flow: "picks", place: "wms/picks/PK-7/confirmed" },
  ]);
  expect(Buffer.from(dead[0]!.body).equals(typeof body === "string" ? Buffer.from(body) : body)).toBe(true);
});

it("records none of a split when one of its lines is bad", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  await parts
    .connector("wms")
    .inlet.accept([pick(pickPayload({ txn: "T-1", lines: 3 }).replace('"no":3,"sku":"RM-ALU"', '"no":3,"sku":""'))]);
  const { events, dead } = onDisk(parts);
  expect(events).toEqual([]);
  expect(dead).toHaveLength(1);
});

it("acknowledges the WMS's repeat of a pick and records it once", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const { inlet } = parts.connector("wms");
  const [first, second] = await Promise.all([
    inlet.accept([pick(pickPayload({ txn: "T-1" }))]),
    inlet.accept([pick(pickPayload({ txn: "T-1" }))]),
  ]);
  expect([first, second]).toMatchObject([
    { recorded: 1, repeats: 0 },
    { recorded: 0, repeats: 1 },
  ]);
  expect(onDisk(parts).events).toHaveLength(1);
});

it("names each input that brought a conflict, though many share a change", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const { inlet } = parts.connector("wms");
  const from = (topic: string, body: string, receivedAt: number) =>
    inlet.prepare(pick(body, { origin: { kind: "topic", topic, retained: false }, receivedAt }));
  const prepared = await Promise.all([
    from("wms/picks/PK-7/confirmed", pickPayload({ txn: "T-1" }), 1),
    from("wms/picks/PK-8/confirmed", pickPayload({ txn: "T-2" }), 2),
    from("wms/picks/PK-9/confirmed", pickPayload({ txn: "T-1", qty: "99" }), 3),
  ]);
  const receipt = await inlet.commit(prepared);
  expect(receipt).toMatchObject({ recorded: 2, repeats: 0 });
  const { dead, events } = onDisk(parts);
  expect(events.map((event) => event.data.txnId)).toEqual(["T-1", "T-2"]);
  expect(dead).toMatchObject([
    { id: receipt.deadLetterIds[0], code: "KEY_CONFLICT", flow: "picks", place: "wms/picks/PK-9/confirmed", at: 3 },
  ]);
  expect(Buffer.from(dead[0]!.body).toString()).toContain('"99"');
});

it("writes nothing that it did not prepare", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  await expect(parts.connector("wms").inlet.commit([{ input: pick("{}") }])).rejects.toMatchObject({ code: "INVARIANT" });
});

it("ignores the retained copy of a message", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  await parts
    .connector("wms")
    .inlet.accept([
      pick(pickPayload({ txn: "T-1" }), { origin: { kind: "topic", topic: "wms/picks/PK-7/confirmed", retained: true } }),
    ]);
  expect(onDisk(parts)).toEqual({ events: [], dead: [] });
});

it("keeps what no flow takes as a dead letter", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  await parts
    .connector("floor")
    .inlet.accept([pick("{}", { origin: { kind: "topic", topic: "floor/L1/unheard-of", retained: false } })]);
  expect(onDisk(parts).dead).toMatchObject([{ code: "DESTINATION_INVALID", place: "floor/L1/unheard-of" }]);
});

it("records what a connection brings in the order in which it came, however fast each is mapped", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1", map: pickInThread }), "lyon"));
  const { inlet } = parts.connector("wms");
  const sizes = Array.from({ length: 60 }, (_, index) => (index % 7 === 0 ? 40 : 1));
  await Promise.all(sizes.map((lines, index) => inlet.accept([pick(pickPayload({ txn: `T-${index}`, lines }))])));
  const order = onDisk(parts).events.map((event) => String(event.data.txnId));
  expect([...new Set(order)]).toEqual(sizes.map((_, index) => `T-${index}`));
});

it("flushes a cursor in the transaction of the messages that it brought", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const { inlet } = parts.connector("wms");
  await inlet.accept([pick(pickPayload({ txn: "T-1" }), { cursors: [{ name: "page", value: "7" }] })]);
  expect(await inlet.cursor("page")).toBe("7");
});

it("acknowledges nothing once the gateway is stopping", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  parts.intake.stop();
  await expect(parts.connector("wms").inlet.accept([pick(pickPayload({ txn: "T-1" }))])).rejects.toMatchObject({
    code: "STOPPED",
  });
  expect(onDisk(parts).events).toEqual([]);
});

it("states a gap of samples in the transaction lane, without a flow", async () => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const data = {
    equipment: "PRESS-7",
    item: "strokes",
    after: "2026-11-24T08:00:00.000Z",
    until: "2026-11-24T08:00:09.000Z",
    cause: "gateway-restarted",
  };
  await parts.connector("floor").inlet.accept([
    {
      origin: { kind: "fact", type: "mfg.equipment.sampling-interrupted.v1" },
      decoded: data,
      body: Buffer.from(JSON.stringify(data)),
      receivedAt: 1,
    },
  ]);
  expect(onDisk(parts).events).toMatchObject([{ type: "mfg.equipment.sampling-interrupted.v1", data }]);
});

it("records one key's messages in the order of arrival when a quick flow follows a slow one", async () => {
  await using parts = await openParts();
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1", map: pickInThread });
  const { flows } = documents[0]!.spec as unknown as { flows: Record<string, unknown> };
  // a field map is evaluated at once
  flows.quick = {
    purpose: "Shortages by field paths",
    from: { connector: "wms", topic: "wms/shortages/+" },
    as: "shortage.reported",
    map: {
      shortageId: "payload.id",
      moId: "payload.order",
      item: "payload.sku",
      qtyShort: "payload.short",
      cause: "payload.cause",
      reportedAt: "payload.at",
    },
    to: [{ central: true }],
  };
  await parts.apply(await bundleOf(documents, "lyon"));
  const { inlet } = parts.connector("wms");
  const short = { value: "1", unitCode: "KGM", scale: 0 };
  const shortage = { id: "S-1", order: "hq-mo-42", sku: "RM-ALU", short, cause: "empty-bin", at: "2026-11-24T08:00:00.000Z" };
  const origin = { kind: "topic", topic: "wms/shortages/PK-8", retained: false } as const;
  await Promise.all([
    inlet.accept([pick(pickPayload({ txn: "T-1", lines: 40 }))]),
    inlet.accept([pick(JSON.stringify(shortage), { origin })]),
  ]);
  const { events, dead } = onDisk(parts);
  expect(dead).toEqual([]);
  expect(new Set(events.map((event) => event.partitionkey))).toEqual(new Set(["hq-mo-42"]));
  expect(events.at(-1)!.type).toBe("mfg.shortage.reported.v1");
  expect(events).toHaveLength(41);
});

it.each([
  ["a flow takes", "wms/picks/PK-7/confirmed", "picks"],
  ["no flow takes", "wms/else", undefined],
])("keeps the beginning of what came in part as a dead letter that tells its length, where %s it", async (_what, topic, flow) => {
  await using parts = await openParts();
  await parts.apply(await lyon());
  const body = Buffer.from(pickPayload({ txn: "T-1" }));
  const origin = { kind: "topic", topic, retained: false } as const;
  const receipt = await parts.connector("wms").inlet.accept([pick(body, { origin, wholeBytes: 50_000_000 })]);
  const { dead, events } = onDisk(parts);
  expect(events).toEqual([]);
  expect(dead).toMatchObject([{ id: receipt.deadLetterIds[0], code: "INPUT_TOO_LARGE", place: topic }]);
  expect(dead[0]!.flow ?? undefined).toBe(flow);
  expect(dead[0]!.reason).toContain(`50000000 bytes, more than can be kept; these are its first ${body.length}`);
  expect(body.equals(dead[0]!.body)).toBe(true);
});

it("fails an input that cannot be mapped any more, though one before it still waits", async () => {
  const slow = Promise.withResolvers<MapResult>();
  const mapped = [slow.promise, Promise.reject(new PlantgateError("STOPPED", "the mapping has stopped"))];
  mapped[1]?.catch(() => {});
  const deps = {
    site: "lyon",
    queue: {},
    mapping: { map: () => mapped.shift() },
    changeover: new Changeover(),
    clock: systemClock,
    log: silent,
  };
  const intake = new Intake(deps as unknown as IntakeDeps);
  intake.configure(await lyon());
  intake.stop();
  const inlet = intake.inlet("wms");
  const codeOf = (error: { code: string }) => error.code;
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  try {
    const first = inlet.accept([pick("1")]).catch(codeOf);
    const second = inlet.accept([pick("2")]).catch(codeOf);
    // what nobody handles is told behind the turn in which it failed
    await new Promise((resolve) => setTimeout(resolve, 10));
    slow.resolve({ kind: "failed", code: "INPUT_INVALID", reason: "said by the test" });
    expect([await first, await second]).toEqual(["STOPPED", "STOPPED"]);
  } finally {
    process.off("unhandledRejection", note);
  }
  expect(unhandled).toEqual([]);
});

it("refuses what feeds a system that is away past its budget, takes everything else, and takes it again when that has fallen", async () => {
  let up = false;
  const scheduler = {
    report: () => (up ? ("up" as const) : ("down" as const)),
    deliver: () => (up ? { kind: "done" as const } : { kind: "retry" as const, reason: "away" }),
  };
  await using parts = await openParts({ receivers: { scheduler } });
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const template = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  template.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  template.flows.picks = { ...template.flows.picks, to: [{ central: true }, { connector: "scheduler", post: "/in" }] };
  await parts.apply(await bundleOf(documents, "lyon"));
  await parts.queue.configure(queuePolicy.parse({ lanes: { transaction: { maxBytes: "1MiB" } } }));
  const { inlet } = parts.connector("wms");
  let txn = 0;
  const take = () => inlet.accept([pick(pickPayload({ txn: `T-${txn++}`, lines: 50 }))]).then(() => "taken");
  const refused = (error: { code: string; message: string }) => `${error.code}: ${error.message}`;
  const said = await until(
    () => take().catch(refused),
    (outcome) => outcome !== "taken",
  );
  expect(said).toBe('QUEUE_FULL: more waits for "scheduler" than its budget');
  const shortage = {
    txn: "S-1",
    order: "o",
    sku: "i",
    short: "1",
    uom: "kg",
    cause: "not-found",
    at: "2026-11-24T08:00:00.000Z",
  };
  const origin = { kind: "webhook", path: "/shortages" } as const;
  const receipt = await parts.connector("hooks").inlet.accept([pick(JSON.stringify(shortage), { origin })]);
  expect(receipt.recorded + receipt.deadLetterIds.length).toBe(1);
  up = true;
  parts.host.ring(new Set(["scheduler"]));
  await until(
    () => take().catch(refused),
    (outcome) => outcome === "taken",
  );
});
