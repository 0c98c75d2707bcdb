import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { CompactSign } from "jose";
import { describe, expect, it } from "vitest";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import type { LinkAnswer, LinkRequest } from "../../../gateway/link/transport.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { DryRuns } from "../../../gateway/rehearsal/dry-runs.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Bundle, bundle as bundleShape, type DryRunAnswer, dryRunType, systemClock } from "../../../protocol/index.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { mapOf, pick, pickFields, pickFlow, pickPlant } from "../../support/pick-plant.ts";
import { until } from "../../support/process.ts";

const urls = { wmsUrl: "mqtt://127.0.0.1:1", erpUrl: "http://127.0.0.1:1" };
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const stranger = generateKeyPairSync("ed25519").privateKey;

type Sign = (payload: object, header?: { typ?: string }, key?: KeyObject) => Promise<string>;
const sign: Sign = (payload, header = { typ: dryRunType }, key = privateKey) =>
  new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: "EdDSA", ...header }).sign(key);

async function candidateOf(flows: Record<string, object> = {}, site = "lyon"): Promise<Omit<Bundle, "revision">> {
  const { revision: _, ...rest } = await bundleOf(pickPlant({ ...urls, site, flows }), site);
  return rest;
}
const asked = (id: string, bundle: object, more: object = {}) => ({
  kind: "DryRun",
  id,
  site: "lyon",
  messages: 1000,
  bundle,
  ...more,
});

/** The gateway's side of dry runs against a central that has these candidates. */
function openDryRuns(
  parts: Parts,
  candidates: Readonly<Record<string, string>>,
  options: { limitMs?: number; active?: Bundle | undefined } = {},
) {
  const answers: { id: string; answer: DryRunAnswer }[] = [];
  const order: string[] = [];
  const send = async (_: string, { method, path, json }: LinkRequest): Promise<LinkAnswer> => {
    const [, , , , , id = "", what] = path.split("/");
    order.push(`${what} ${id}`);
    if (method === "POST") answers.push({ id, answer: json as DryRunAnswer });
    const body = method === "GET" ? { jws: candidates[id] } : { id };
    return { kind: "ok", status: 200, body, text: JSON.stringify(body) };
  };
  const central = CentralKeys.open({ dataDir: parts.dataDir, handedOver: publicKey });
  const stopping = new AbortController();
  const dryRuns = new DryRuns({
    site: "lyon",
    session: { online: async () => ({ kind: "online", session: "s", watermarks: [] }), send },
    verify: (jws) => central.verify(jws, "central"),
    active: () => ("active" in options ? options.active : parts.rehearsal.bundle),
    inputs: (messages) => parts.rehearsal.inputs(messages),
    clock: systemClock,
    log: openLogger({ level: "silent", site: "lyon" }),
    ...(options.limitMs === undefined ? {} : { limitMs: options.limitMs }),
  });
  const running = dryRuns.run(stopping.signal);
  return {
    order,
    answers,
    async ask(...ids: string[]) {
      dryRuns.want(ids);
      await until(
        () => answers.length,
        (count) => count >= ids.length,
      );
      return answers.map(({ answer }) => answer);
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
    },
  };
}

const accept = (parts: Parts, ...numbers: number[]) =>
  parts.connector("wms").inlet.accept(
    numbers.map((number) => ({
      origin: { kind: "topic" as const, topic: "wms/picks/1", retained: false },
      body: Buffer.from(JSON.stringify(pick(number))),
      receivedAt: 1_795_500_000_000 + number,
    })),
  );
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

async function openPlant() {
  const parts = await openParts();
  await parts.apply(await bundleOf(pickPlant(urls), "lyon"));
  return parts;
}

it("tells what a candidate makes of recorded inputs: what differs, what it refuses, and flows that only one of both has", async () => {
  await using parts = await openPlant();
  await accept(parts, ...numbers(20));
  await parts
    .connector("wms")
    .inlet.accept([
      { origin: { kind: "topic", topic: "wms/picks/1", retained: false }, body: Buffer.from("no JSON"), receivedAt: 1 },
    ]);
  const picky = mapOf({ ...pickFields, lot: 'payload.qty < 5 ? $error("too few") : payload.lot' });
  const flows = { picks: pickFlow(picky), copies: { ...pickFlow(mapOf(pickFields)), to: [{ central: true }] } };
  await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf(flows))) });
  const [answer] = await central.ask("one");
  expect(answer).toMatchObject({ state: "done", result: { inputs: 21, same: 0, different: 21, skipped: 0 } });
  const result = answer?.state === "done" ? answer.result : undefined;
  expect(result?.flows.find(({ flow }) => flow === "picks")).toMatchObject({
    ...{ inputs: 21, different: 5, refusedBefore: 1, refusedAfter: 6, fields: [] },
    reasons: [
      { code: "MAPPING_FAILED", count: 5, message: expect.stringContaining("too few") },
      { code: "INPUT_NOT_JSON", count: 1 },
    ],
  });
  expect(result?.flows.find(({ flow }) => flow === "copies")).toMatchObject({
    inputs: 21,
    different: 21,
    fields: [{ path: "message", count: 20 }],
  });
});

it("finds nothing different in the configuration that runs", async () => {
  await using parts = await openPlant();
  await accept(parts, ...numbers(50));
  await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf())) });
  expect(await central.ask("one")).toMatchObject([{ state: "done", result: { inputs: 50, same: 50, different: 0 } }]);
});

it("runs no more inputs than central asks for, the newest", async () => {
  await using parts = await openPlant();
  await accept(parts, ...numbers(50));
  await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf(), { messages: 7 })) });
  expect(await central.ask("one")).toMatchObject([{ state: "done", result: { inputs: 7 } }]);
});

it("runs what is only in memory where encryption at rest is on", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(pickPlant({ ...urls, encrypted: true }), "lyon"));
  await accept(parts, 1, 2, 3);
  await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf())) });
  expect(await central.ask("one")).toMatchObject([{ state: "done", result: { inputs: 3, same: 3 } }]);
});

describe("a hostile candidate", () => {
  it("with an expression that never ends is ended input by input, and soon not run any more", async () => {
    await using parts = await openPlant();
    await accept(parts, ...numbers(30));
    const endless = mapOf({ ...pickFields, lot: "($f := function($n) { $f($n + 1) }; $f(0))" });
    await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf({ picks: pickFlow(endless) }))) });
    const [answer] = await central.ask("one");
    expect(answer).toMatchObject({ state: "done", result: { inputs: 30 } });
    const [flow] = answer?.state === "done" ? answer.result.flows : [];
    expect((flow?.refusedAfter ?? 0) + (flow?.skipped ?? 0)).toBe(30);
    expect(["MAPPING_TIMEOUT", "MAPPING_FAILED"]).toContain(flow?.reasons[0]?.code);
  });

  it("with results of ten megabytes leaves an answer of a few kilobytes", async () => {
    await using parts = await openPlant();
    await accept(parts, ...numbers(5));
    const large = '$join([1..10].$pad("x", 1000000))';
    const flow = pickFlow(mapOf(pickFields)) as { to: object[] };
    const [central, wms, erp] = flow.to;
    const candidate = await candidateOf({ picks: { ...flow, to: [central, { ...wms, body: large }, erp] } });
    await using asking = openDryRuns(parts, { one: await sign(asked("one", candidate)) });
    const [answer] = await asking.ask("one");
    expect(answer).toMatchObject({ state: "done", result: { inputs: 5, different: 5 } });
    expect(JSON.stringify(answer).length).toBeLessThan(20_000);
  });

  it("that does not come to an end within the time of the whole leaves the rest not run", async () => {
    await using parts = await openPlant();
    await accept(parts, ...numbers(20));
    await using central = openDryRuns(parts, { one: await sign(asked("one", await candidateOf())) }, { limitMs: -1 });
    expect(await central.ask("one")).toMatchObject([{ state: "done", result: { inputs: 20, same: 0, skipped: 20 } }]);
  });

  it("is refused where it is not signed by central, for another site or run, or signed to be something else", async () => {
    await using parts = await openPlant();
    const bundle = await candidateOf();
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(asked("unsigned", bundle))).toString("base64url")}.`;
    await using central = openDryRuns(parts, {
      unsigned,
      stranger: await sign(asked("stranger", bundle), { typ: dryRunType }, stranger),
      site: await sign(asked("site", bundle, { site: "porto" })),
      inside: await sign(asked("inside", await candidateOf({}, "porto"))),
      other: await sign(asked("one", bundle)),
      untyped: await sign(asked("untyped", bundle), {}),
      bundle: await sign({ ...bundle, revision: 7 }, {}),
      typed: await sign({ ...bundle, revision: 7 }),
      broken: await sign(asked("broken", { ...bundle, flows: { picks: { ...pickFlow("{ ("), mode: "live", order: "key" } } })),
      nothing: "",
    });
    const answers = await central.ask(
      "unsigned",
      "stranger",
      "site",
      "inside",
      "other",
      "untyped",
      "bundle",
      "typed",
      "broken",
      "nothing",
    );
    expect(answers.map(({ state }) => state)).toEqual(Array(10).fill("failed"));
    expect(central.answers.map(({ id }) => id)).toEqual([
      "unsigned",
      "stranger",
      "site",
      "inside",
      "other",
      "untyped",
      "bundle",
      "typed",
      "broken",
      "nothing",
    ]);
  });

  it("is no bundle, and can never be put into effect as one", async () => {
    const bundle = await candidateOf();
    expect(bundleShape.safeParse(asked("one", bundle)).success).toBe(false);
    expect(bundleShape.safeParse({ ...asked("one", bundle), ...bundle, kind: "DryRun", revision: 1 }).success).toBe(false);
  });
});

it("answers one after the other, each once however often central asks, and the newest ask of a central that asks again", async () => {
  await using parts = await openPlant();
  await accept(parts, 1, 2, 3);
  const candidate = await candidateOf();
  await using central = openDryRuns(parts, {
    one: await sign(asked("one", candidate)),
    two: await sign(asked("two", candidate)),
  });
  const answers = central.ask("one", "two");
  void central.ask("two", "one");
  expect(await answers).toMatchObject([{ state: "done" }, { state: "done" }]);
  expect(central.order).toEqual(["candidate one", "result one", "candidate two", "result two"]);
});

it("changes nothing of the queue, and nothing that is accepted meanwhile waits for it", async () => {
  const sent: string[] = [];
  const receiver = {
    deliver: ({ event }: { event: { idempotencykey?: string } }) => {
      sent.push(event.idempotencykey ?? "");
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { wms: receiver, erp: receiver } });
  await parts.apply(await bundleOf(pickPlant(urls), "lyon"));
  await accept(parts, ...numbers(200));
  await until(
    () => sent.length,
    (count) => count === 400,
  );
  const standing = () => {
    using reader = new QueueReader(join(parts.dataDir, "queue.sqlite"));
    return reader.depth().lanes.map(({ lane, last, dispatched }) => ({ lane, last, dispatched }));
  };
  const before = await until(standing, (lanes) =>
    lanes.some(({ lane, last, dispatched }) => lane === "transaction" && last >= 600 && last === dispatched),
  );
  const slow = mapOf({ ...pickFields, lot: "$string($sum([1..20000]))" });
  const candidate = await candidateOf({ picks: pickFlow(slow) });
  await using central = openDryRuns(parts, {
    one: await sign(asked("one", candidate)),
    two: await sign(asked("two", candidate)),
  });
  await central.ask("one");
  expect(standing()).toEqual(before);
  expect(sent).toHaveLength(400);

  // under load: all that comes in while one runs is accepted, in order
  const answer = central.ask("one", "two");
  const receipts = await Promise.all(numbers(100).map((number) => accept(parts, 1000 + number)));
  expect(receipts.map(({ recorded }) => recorded)).toEqual(Array(100).fill(1));
  await answer;
  using reader = new QueueReader(join(parts.dataDir, "queue.sqlite"));
  const keys = [...reader.messages("transaction")]
    .map(({ line }) => JSON.parse(line) as { type: string; idempotencykey?: string })
    .filter(({ type }) => type === "mfg.pick.confirmed.v1")
    .map(({ idempotencykey }) => idempotencykey);
  expect(keys.slice(-100)).toEqual(numbers(100).map((number) => `T-${1000 + number}/1`));
});
