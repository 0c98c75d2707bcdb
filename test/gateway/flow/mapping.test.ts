import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type MapJob, type Mapping, type MapResult, openMapping } from "../../../gateway/flow/mapping.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import {
  type Bundle,
  type CloudEvent,
  type ErrorCode,
  flowConfig,
  makeEvent,
  renderSite,
  systemClock,
} from "../../../protocol/index.ts";

const folder = join(import.meta.dirname, "../../../packaging/demo/config");
const read = (name: string): { name: string; text: string } => ({ name, text: readFileSync(join(folder, name), "utf8") });
const files = [
  "assembly-plant.yaml",
  "sites/lyon.yaml",
  ...readdirSync(join(folder, "examples")).map((name) => `examples/${name}`),
].map(read);
const built = await renderSite({ files, site: "lyon", revision: 1 });
if (!built.ok) throw new Error(JSON.stringify(built.problems));
const demo = built.bundle;

/** The demo's bundle with flows of its own beside. */
function withFlows(flows: Record<string, Record<string, unknown>>): Bundle {
  const parsed = Object.entries(flows).map(([name, flow]) => [
    name,
    flowConfig.parse({
      purpose: "p",
      from: { connector: "wms", topic: "wms/shortages/+" },
      as: "shortage.reported",
      to: [{ central: true }],
      ...flow,
    }),
  ]);
  return { ...demo, flows: { ...demo.flows, ...Object.fromEntries(parsed) } };
}
// with a function of JSONata's own, so that it is evaluated in the thread
const fields = `"shortageId": payload.id, "moId": payload.mo, "item": $string("I"), "qtyShort": $quantity(1, "KGM"), "reportedAt": "2026-01-01T00:00:00.000Z"`;
const endless = withFlows({
  quick: { map: `{ ${fields}, "cause": "none" }` },
  slow: { map: `{ ${fields}, "cause": payload.slow ? $string(($f := function($n) { $f($n + 1) }; $f(0))) : "none" }` },
  huge: { map: `{ ${fields}, "cause": $string($sum($map([1..3000000], function($n) { $n * 2 }))) }` },
  hungry: {
    map: `{ ${fields}, "cause": ($grow := function($a) { $grow($append($a, $a)) }; $string($grow([payload, payload]))) }`,
  },
});

let mapping: Mapping | undefined;
afterEach(async () => {
  await mapping?.stop();
  mapping = undefined;
});

async function open(
  bundle: Bundle,
  timeoutMs?: number,
): Promise<{ mapping: Mapping; restarts: [string | undefined, ErrorCode][] }> {
  const restarts: [string | undefined, ErrorCode][] = [];
  mapping = openMapping({
    site: "lyon",
    clock: systemClock,
    log: openLogger({ level: "silent", site: "lyon" }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    onRestart: (flow, code) => restarts.push([flow, code]),
  });
  await mapping.configure(bundle);
  return { mapping, restarts };
}

function job(flow: string, payload: unknown, topic = "wms/shortages/T-1"): MapJob {
  const body = Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload));
  return {
    flow,
    connector: "wms",
    origin: { kind: "topic", topic, retained: false },
    body,
    receivedAt: 0,
    inputHash: "0".repeat(64),
  };
}

const eventOf = (message: { readonly line: string } | undefined): CloudEvent => JSON.parse(message?.line ?? "") as CloudEvent;

/** With the events that the lines hold. */
async function opened(mapped: MapResult | Promise<MapResult>) {
  const result = await mapped;
  return result.kind === "failed" ? result : { messages: result.messages.map((each) => ({ ...each, event: eventOf(each) })) };
}

describe("the mapper", () => {
  it("maps a pick of two lots to two messages, the SSCC unchanged", async () => {
    const { mapping } = await open(demo);
    const result = await mapping.map(job("picks", read("examples/two-lots.json").text, "wms/picks/PK-7/confirmed"));
    if (result.kind !== "messages") throw new Error(JSON.stringify(result));
    expect(result.messages.map((message) => [message.lane, message.idempotencyKey, eventOf(message).data.sscc])).toEqual([
      ["transaction", "T-100045/1", "340123450000000018"],
      ["transaction", "T-100045/2", "340123450000000025"],
    ]);
    expect(result.messages.map(({ id, type, idempotencyKey }) => ({ id, type, idempotencykey: idempotencyKey }))).toEqual(
      result.messages.map(eventOf).map(({ id, type, idempotencykey }) => ({ id, type, idempotencykey })),
    );
  });

  it("maps samples of devices and of presses, without a thread in between", async () => {
    const { mapping } = await open(demo);
    const device = mapping.map(job("device-samples", read("examples/sample.json").text, "floor/LINE-1/spindle-2/sample"));
    expect(device).not.toBeInstanceOf(Promise);
    expect(await opened(device)).toMatchObject({
      messages: [{ lane: "telemetry", event: { data: { equipment: "LINE-1/spindle-2", value: 4.1 } } }],
    });
    const decoded = {
      equipment: "press.press-1",
      item: "strokes",
      value: "18446744073709551615",
      quality: "good",
      sourceTimestamp: "2026-01-01T00:00:00.000Z",
    };
    const press = mapping.map({
      ...job("samples", "ignored"),
      connector: "press.press-1",
      origin: { kind: "items", item: "strokes" },
      decoded,
    });
    expect(await opened(press)).toMatchObject({
      messages: [{ lane: "telemetry", event: { source: "urn:plantgate:lyon:press.press-1", data: decoded } }],
    });
  });

  it("maps a pick at once: its expression is made of paths and our functions", async () => {
    const { mapping } = await open(demo);
    const pick = mapping.map(job("picks", read("examples/two-lots.json").text, "wms/picks/PK-7/confirmed"));
    expect(pick).not.toBeInstanceOf(Promise);
    const finished = mapping.map(job("finished", read("examples/finished.json").text, "floor/LINE-1/finished"));
    expect(finished).toBeInstanceOf(Promise);
    expect(await finished).toMatchObject({ messages: [{ type: "mfg.finished-goods.confirmed.v1" }] });
  });

  it("renders every destination of an order, and reads the warehouse's answer", async () => {
    const { mapping } = await open(demo);
    const event = makeEvent("production-order.released", JSON.parse(read("examples/order.json").text), {
      id: "e1",
      site: "hq",
      connector: "erp",
      recordedAt: 0,
    });
    const rendered = await Promise.all([0, 1, 2, 3].map((index) => mapping.render("orders", index, event)));
    expect(rendered).toMatchObject([
      { kind: "topic", topic: "wms/orders/hq-mo-42", qos: 1, key: "hq-mo-42" },
      { kind: "post", path: "/orders", idempotencyKey: "mfg.production-order.released.v1/hq-mo-42/1" },
      { kind: "write", item: "nextOrder", value: "hq-mo-42" },
      { kind: "write", item: "nextOrder", value: "hq-mo-42" },
    ]);
    const expected = await mapping.expected("orders", 0, event);
    const answer = (payload: unknown) => mapping.answer("orders", 0, Buffer.from(JSON.stringify(payload)));
    expect(await answer({ order: "hq-mo-42", revision: 1, accepted: true })).toEqual({
      kind: "answer",
      match: expected,
      accepted: true,
    });
    expect(await answer({ order: "hq-mo-42", revision: 1, accepted: false, reason: "unknown item RM-ALU" })).toEqual({
      kind: "answer",
      match: expected,
      accepted: false,
      reason: "unknown item RM-ALU",
    });
    expect(await answer({ accepted: true })).toMatchObject({ kind: "failed" });
    expect(await mapping.render("orders", 4, event)).toMatchObject({ kind: "failed", code: "DESTINATION_INVALID" });
  });

  it("names a destination by its place in the flow, those towards central counted", async () => {
    const to = [{ central: true }, { connector: "wms", topic: "wms/orders/{data.moId}" }];
    const { mapping } = await open(withFlows({ f: { map: `{ ${fields}, "cause": "c" }`, to } }));
    const result = await mapping.map(job("f", { id: "S-1", mo: "m" }));
    if (result.kind !== "messages") throw new Error(result.reason);
    const event = eventOf(result.messages[0]);
    expect(await mapping.render("f", 1, event)).toMatchObject({ kind: "topic", topic: "wms/orders/m" });
    expect(await mapping.render("f", 0, event)).toMatchObject({ kind: "failed", code: "DESTINATION_INVALID" });
  });

  it("fails only the input whose expression does not end, and gives all others in their order", async () => {
    const { mapping, restarts } = await open(endless, 60);
    const settled: string[] = [];
    const ask = async (flow: string, id: number, slow: boolean): Promise<string> => {
      const result = await mapping.map(job(flow, { id: `S-${id}`, mo: "m", slow }));
      const said = result.kind === "failed" ? result.code : String(eventOf(result.messages[0]).data.shortageId);
      settled.push(`${id} ${said}`);
      return said;
    };
    const culprits = new Set([3, 40, 100, 101]);
    const all = Array.from({ length: 150 }, (_, id) => ask(culprits.has(id) ? "slow" : "quick", id, culprits.has(id)));
    const said = await Promise.all(all);
    expect(said).toEqual(Array.from({ length: 150 }, (_, id) => (culprits.has(id) ? "MAPPING_TIMEOUT" : `S-${id}`)));
    expect(settled.filter((each) => !each.includes("TIMEOUT"))).toEqual(
      Array.from({ length: 150 }, (_, id) => `${id} S-${id}`).filter((_, id) => !culprits.has(id)),
    );
    expect(restarts).toEqual(Array.from({ length: 4 }, () => ["slow", "MAPPING_TIMEOUT"]));
  });

  it("ends an expression over three million elements", async () => {
    const { mapping } = await open(endless);
    const result = await mapping.map(job("huge", { id: "S-1", mo: "m" }));
    expect(result).toMatchObject({ kind: "failed", code: "MAPPING_TIMEOUT" });
    expect(await mapping.map(job("quick", { id: "S-2", mo: "m" }))).toMatchObject({ kind: "messages" });
  });

  it("survives an expression that eats memory", async () => {
    const { mapping, restarts } = await open(endless, 20_000);
    expect(await mapping.map(job("hungry", { id: "S-1", mo: "m" }))).toMatchObject({ kind: "failed", code: "MAPPING_FAILED" });
    expect(await mapping.map(job("quick", { id: "S-2", mo: "m" }))).toMatchObject({ kind: "messages" });
    expect(restarts).toEqual([["hungry", "MAPPING_FAILED"]]);
  });

  it("maps with the old flows what was asked before a new configuration, and with the new ones what comes after", async () => {
    const { mapping } = await open(withFlows({ f: { map: `{ ${fields}, "cause": "old" }` } }));
    const before = Promise.all(Array.from({ length: 100 }, (_, id) => mapping.map(job("f", { id: `S-${id}`, mo: "m" }))));
    await mapping.configure(withFlows({ f: { map: `{ ${fields}, "cause": "new" }` } }));
    const after = mapping.map(job("f", { id: "S-1", mo: "m" }));
    for (const result of await before)
      expect(await opened(result)).toMatchObject({ messages: [{ event: { data: { cause: "old" } } }] });
    expect(await opened(after)).toMatchObject({ messages: [{ event: { data: { cause: "new" } } }] });
  });

  it("refuses a bundle with problems, names them, and keeps the old flows", async () => {
    const { mapping } = await open(withFlows({ f: { map: `{ ${fields}, "cause": "old" }` } }));
    await expect(mapping.configure(withFlows({ f: { map: "{ broken" } }))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("flows.f.map"),
    });
    expect(await opened(mapping.map(job("f", { id: "S-1", mo: "m" })))).toMatchObject({
      messages: [{ event: { data: { cause: "old" } } }],
    });
  });

  it("gives a reason for input that cannot succeed", async () => {
    const { mapping } = await open(demo);
    expect(await mapping.map(job("picks", "not json", "wms/picks/PK-7/confirmed"))).toMatchObject({
      kind: "failed",
      code: "INPUT_NOT_JSON",
    });
    expect(await mapping.map(job("nothing", {}))).toMatchObject({ kind: "failed", code: "MAPPING_FAILED" });
    expect(await mapping.map({ ...job("picks", {}), body: new Uint8Array(2_000_000) })).toMatchObject({
      kind: "failed",
      code: "INPUT_TOO_LARGE",
    });
  });

  it("ends what waits when it stops", async () => {
    const { mapping } = await open(endless, 20_000);
    const waiting = mapping.map(job("slow", { id: "S-1", mo: "m", slow: true }));
    const outcome = expect(waiting).rejects.toMatchObject({ code: "STOPPED" });
    await mapping.stop();
    await outcome;
    await expect(mapping.map(job("quick", {}))).rejects.toMatchObject({ code: "STOPPED" });
  });
});
