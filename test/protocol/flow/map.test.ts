import { describe, expect, it } from "vitest";
import {
  type Bundle,
  type CloudEvent,
  type CompiledFlow,
  compileFlow,
  expectedAnswer,
  flowConfig,
  type Mapped,
  mapInput,
  maxInputBytes,
  maxMessageBytes,
  readAnswer,
  renderDelivery,
  runSteps,
} from "../../../protocol/index.ts";

const connectors: Bundle["connectors"] = {
  wms: {
    group: "wms",
    config: {
      type: "mqtt",
      url: "mqtt://h",
      version: "5",
      keepAlive: "15s",
      sessionExpiry: "7d",
      grants: { subscribe: ["#"], publish: ["#"] },
    },
  },
  scheduler: { group: "scheduler", config: { type: "http", url: "http://h", timeout: "15s" } },
};

function compile(config: unknown): CompiledFlow {
  const { flow, problems } = compileFlow("f", flowConfig.parse({ purpose: "p", ...(config as object) }), {
    site: "lyon",
    connectors,
    codes: { plants: { LYO: "lyon" } },
  });
  expect(problems).toEqual([]);
  return flow;
}

const from = { connector: "wms", topic: "wms/#" };
const shortage = `{ "shortageId": payload.id, "moId": payload.mo, "item": "I", "qtyShort": $quantity(payload.qty, "KGM"), "cause": "c", "reportedAt": "2026-01-01T00:00:00.000Z" }`;

function map(flow: CompiledFlow, payload: unknown, topic = "wms/a/b"): Promise<Mapped> {
  const body =
    payload instanceof Uint8Array
      ? payload
      : new TextEncoder().encode(typeof payload === "string" ? payload : JSON.stringify(payload));
  return runSteps(mapInput(flow, { connector: "wms", topic, body, inputHash: "0".repeat(64), recordedAt: 0, newId: () => "id" }));
}
const failure = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringContaining(message) }) });
const good = { id: "S-1", mo: "mo-1", qty: "1" };

describe("mapping an input", () => {
  it("makes the event of the flow's type, its data last in the line", async () => {
    const { messages } = await map(
      compile({
        from,
        as: "shortage.reported",
        map: shortage,
        key: "data.moId",
        idempotencyKey: ["payload.id"],
        to: [{ central: true }],
      }),
      good,
    );
    expect(messages[0]?.event).toMatchObject({
      type: "mfg.shortage.reported.v1",
      partitionkey: "mo-1",
      idempotencykey: "S-1",
      source: "urn:plantgate:lyon:wms",
      flow: "f",
      site: "lyon",
    });
    expect(messages[0]?.event.targetsite).toBeUndefined();
    expect(messages[0]?.line).toBe(JSON.stringify(messages[0]?.event));
    expect(Object.keys(JSON.parse(messages[0]!.line) as object).at(-1)).toBe("data");
  });

  it("makes all messages of an input or none", async () => {
    const flow = compile({
      from,
      split: "payload.list",
      as: "shortage.reported",
      map: shortage.replaceAll("payload", "line"),
      to: [{ central: true }],
    });
    expect((await map(flow, { list: [good, { ...good, id: "S-2" }] })).messages).toHaveLength(2);
    await expect(map(flow, { list: [good, { ...good, qty: "two" }] })).rejects.toEqual(failure("INPUT_INVALID", "line 2 of 2"));
  });

  it("takes one value as a list of one, an empty list as no message, and nothing at all as a mistake", async () => {
    const flow = compile({
      from,
      split: "payload.list",
      as: "shortage.reported",
      map: shortage.replaceAll("payload", "line"),
      to: [{ central: true }],
    });
    expect((await map(flow, { list: good })).messages).toHaveLength(1);
    expect((await map(flow, { list: [] })).messages).toEqual([]);
    await expect(map(flow, {})).rejects.toEqual(failure("INPUT_INVALID", "split found nothing"));
  });

  it("refuses an input with more lines than one frame may hold", async () => {
    const flow = compile({
      from,
      split: "payload",
      as: "shortage.reported",
      map: shortage.replaceAll("payload", "line"),
      to: [{ central: true }],
    });
    await expect(
      map(
        flow,
        Array.from({ length: 1001 }, () => good),
      ),
    ).rejects.toEqual(failure("INPUT_TOO_LARGE"));
  });

  it("never makes a shorter key of a missing part", async () => {
    const flow = compile({
      from,
      as: "shortage.reported",
      map: shortage,
      idempotencyKey: ["payload.txn", "payload.line"],
      to: [{ central: true }],
    });
    await expect(map(flow, { ...good, line: 1 })).rejects.toEqual(failure("KEY_INCOMPLETE", "payload.txn"));
    await expect(map(flow, { ...good, line: 1, txn: "" })).rejects.toEqual(failure("KEY_INCOMPLETE"));
    await expect(map(flow, { ...good, line: 1, txn: ["a", "b"] })).rejects.toEqual(failure("KEY_INCOMPLETE"));
    const [a, b] = [await map(flow, { ...good, txn: "a/b", line: "c" }), await map(flow, { ...good, txn: "a", line: "b/c" })];
    expect(a.messages[0]?.event.idempotencykey).not.toBe(b.messages[0]?.event.idempotencykey);
  });

  it("puts a single match into a list where the type wants a list", async () => {
    const flow = compile({
      from,
      as: "finished-goods.confirmed",
      map: `{ "txnId": "t", "moId": "m", "item": "i", "goodQty": $quantity(1, "C62"), "final": true, "genealogy": payload.used.{ "lineNo": no, "item": "x", "qty": $quantity(1, "C62") }, "serials": payload.serial, "confirmedAt": "2026-01-01T00:00:00.000Z" }`,
      to: [{ central: true }],
    });
    const { messages } = await map(flow, { used: [{ no: 1 }], serial: "S1" });
    expect(messages[0]?.event.data).toMatchObject({ genealogy: [{ lineNo: 1 }], serials: ["S1"] });
  });

  it("reads the levels of the topic", async () => {
    const flow = compile({
      from,
      as: "shortage.reported",
      map: shortage.replace("payload.mo", "topic[1]"),
      key: "topic[-1]",
      to: [{ central: true }],
    });
    const { messages } = await map(flow, good, "wms/mo-7/x");
    expect(messages[0]?.event).toMatchObject({ partitionkey: "x", data: { moId: "mo-7" } });
  });

  it("sends a message of a flow without central to its own site only", async () => {
    const flow = compile({ from, as: "shortage.reported", map: shortage, to: [{ connector: "scheduler", post: "/x" }] });
    expect((await map(flow, good)).messages[0]?.event.targetsite).toBe("lyon");
  });

  it("finds the target site, and says for what it found none", async () => {
    const flow = compile({ from, as: "shortage.reported", map: shortage, to: [{ site: '$site("plants", payload.plant)' }] });
    expect((await map(flow, { ...good, plant: "LYO" })).messages[0]?.event.targetsite).toBe("lyon");
    await expect(map(flow, { ...good, plant: "XXX" })).rejects.toEqual(
      failure("DESTINATION_INVALID", "no site for production-order/mo-1"),
    );
  });

  it("refuses input that is too large before it is decoded, and a message that would not fit a line", async () => {
    const flow = compile({ from, as: "shortage.reported", map: shortage, to: [{ central: true }] });
    await expect(map(flow, new Uint8Array(maxInputBytes + 1))).rejects.toEqual(failure("INPUT_TOO_LARGE"));
    const finished = compile({ from, as: "schedule.revised", to: [{ central: true }] });
    const entry = {
      moId: "m".repeat(100),
      opSeq: 1,
      workCentre: "w",
      start: "2026-01-01T00:00:00.000Z",
      end: "2026-01-01T00:00:00.000Z",
      sequenceNo: 1,
    };
    const payload = {
      scheduleId: "s",
      revision: 1,
      workCentre: "w",
      entries: Array.from({ length: Math.ceil(maxMessageBytes / 200) }, () => entry),
    };
    await expect(map(finished, payload)).rejects.toEqual(failure("INPUT_TOO_LARGE"));
  });

  it("says what JSONata says of an expression that fails, and what a function of ours says", async () => {
    const flow = compile({
      from,
      as: "shortage.reported",
      map: shortage.replace('"c"', "payload.id + 1"),
      to: [{ central: true }],
    });
    await expect(map(flow, good)).rejects.toEqual(failure("MAPPING_FAILED", "map:"));
    const unit = compile({
      from,
      as: "shortage.reported",
      map: shortage.replace('"KGM"', "payload.unit"),
      to: [{ central: true }],
    });
    await expect(map(unit, { ...good, unit: "stone" })).rejects.toEqual(failure("UNIT_UNKNOWN", "stone"));
  });

  it("gives the cursor of a poll", async () => {
    const flow = compile({
      from: { connector: "scheduler", poll: "/s", cursor: "payload.rev" },
      as: "shortage.reported",
      map: shortage,
      to: [{ central: true }],
    });
    const input = {
      connector: "scheduler",
      body: new TextEncoder().encode(JSON.stringify({ ...good, rev: 12 })),
      inputHash: "",
      recordedAt: 0,
      newId: () => "id",
    };
    expect((await runSteps(mapInput(flow, input))).cursor).toBe("12");
  });
});

describe("rendering a delivery", () => {
  const event = (moId: string): CloudEvent => ({
    specversion: "1.0",
    id: "e1",
    source: "urn:plantgate:hq:erp",
    type: "mfg.shortage.reported.v1",
    subject: `production-order/${moId}`,
    time: "2026-01-01T00:00:00.000Z",
    datacontenttype: "application/json",
    dataschema: "s",
    recordedtime: "2026-01-01T00:00:00.000Z",
    site: "hq",
    partitionkey: moId,
    idempotencykey: "S-1",
    data: { moId, shortageId: "S-1" },
  });
  const outward = (to: object): CompiledFlow => compile({ from: { central: "shortage.reported" }, to: [to] });
  const render = (to: object, moId: string) => runSteps(renderDelivery(outward(to).destinations[0]!, event(moId)));
  const text = (body: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(body));

  it("fills topic and body", async () => {
    const sent = await render(
      { connector: "wms", topic: "a/{data.moId}/b", body: '{ "mo": data.moId, "from": message.site }' },
      "mo-1",
    );
    expect(sent).toMatchObject({ kind: "topic", topic: "a/mo-1/b", qos: 1, retain: false, key: "mo-1" });
    expect(text((sent as { body: Uint8Array }).body)).toEqual({ mo: "mo-1", from: "hq" });
  });

  it("posts the data with a name that stays the same at every attempt", async () => {
    const [a, b] = [
      await render({ connector: "scheduler", post: "/x/{data.moId}" }, "mo 1é"),
      await render({ connector: "scheduler", post: "/x/{data.moId}" }, "mo 1é"),
    ];
    expect(a).toEqual(b);
    expect(a).toMatchObject({ kind: "post", path: "/x/mo%201%C3%A9", idempotencyKey: "mfg.shortage.reported.v1/S-1" });
  });

  it.each(["a/b", "a+b", "#", "a\u0000b", ""])("refuses %j where it would change the topic", async (moId) => {
    await expect(render({ connector: "wms", topic: "a/{data.moId}" }, moId)).rejects.toEqual(failure("DESTINATION_INVALID"));
  });

  it("matches an answer to the message that it is for", async () => {
    const to = {
      connector: "wms",
      topic: "a",
      accepted: { topic: "ack/+", match: ["payload.order", "payload.revision"], equals: ["data.moId", "data.shortageId"] },
    };
    const destination = outward(to).destinations[0]!;
    const answer = (payload: unknown) => runSteps(readAnswer(destination, new TextEncoder().encode(JSON.stringify(payload))));
    const expected = await runSteps(expectedAnswer(destination, event("mo-1")));
    expect(await answer({ order: "mo-1", revision: "S-1", accepted: true })).toEqual({ match: expected, accepted: true });
    expect(await answer({ order: "mo-1", revision: "S-1", accepted: false, reason: "no item" })).toEqual({
      match: expected,
      accepted: false,
      reason: "no item",
    });
    expect((await answer({ order: "mo-2", revision: "S-1" })).match).not.toBe(expected);
    await expect(answer({ accepted: true })).rejects.toEqual(failure("KEY_INCOMPLETE"));
  });
});
