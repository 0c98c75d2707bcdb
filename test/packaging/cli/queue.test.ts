import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeadLetter } from "../../../gateway/queue/change.ts";
import { type CloudEvent, queuePolicy } from "../../../protocol/index.ts";
import { type Ended, plantgate, plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick, sample } from "../../support/messages.ts";
import { delivery, linesIn, openStore } from "../../support/queue-store.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const here = { cwd: folder.path };
const run = (...args: string[]): Promise<Ended> => plantgateHere(["queue", ...args, "--data", "lyon"], here);

const picks = ["T-1", "T-2", "T-3"].map((txn) => pick("lyon", txn, { recordedAt: Date.parse("2026-01-31T08:20:00.000Z") }));
const letter = (id: string, body: Uint8Array, rest: Partial<DeadLetter> = {}): DeadLetter => ({
  id,
  at: Date.parse("2026-01-31T08:21:00.000Z"),
  direction: "in",
  connector: "wms",
  place: "wms/picks/PK-7/confirmed",
  code: "INPUT_INVALID",
  reason: "item: missing",
  body,
  attempts: 0,
  ...rest,
});

/** The data folder of a gateway that does not run: three picks of which central has the first, a sample, a delivery, two dead letters. */
beforeAll(() => {
  mkdirSync(join(folder.path, "lyon"));
  const store = openStore(join(folder.path, "lyon"), { now: () => Date.parse("2026-01-31T08:20:00.000Z") });
  store.keepAcknowledged(0);
  const append = (lane: "transaction" | "telemetry", event: CloudEvent) => ({
    messages: [{ lane, line: JSON.stringify(event) }],
  });
  for (const event of picks) store.commit([append("transaction", event)]);
  store.commit([append("telemetry", sample("lyon", 71.5))]);
  const { epoch } = store.position("transaction");
  store.commit([
    {
      acknowledged: { lane: "transaction", epoch, watermark: 1 },
      dispatched: { lane: "transaction", upTo: 3 },
      newDeliveries: [
        delivery({
          target: "wms/orders/{data.moId}",
          key: "hq-mo-42",
          line: JSON.stringify(picks[0]),
          createdAt: Date.parse("2026-01-31T08:22:00.000Z"),
        }),
      ],
      deadLetters: [
        letter("dl-text", Buffer.from('{"txn":"Tä"}'), { flow: "picks" }),
        letter("dl-binary", Buffer.from([0xff, 0x00, 0xfe]), { code: "INPUT_NOT_JSON", reason: "not JSON" }),
      ],
    },
  ]);
  store.close();
});

describe("plantgate queue depth", () => {
  it("says per lane what is recorded, what central has and what waits", async () => {
    const { code, out, err } = await plantgate(["queue", "depth", "--data", "lyon"], here);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^lane +last +acknowledged +waiting +bytes +oldest\n/);
    expect(out).toMatch(/^transaction +3 +1 +2 +\d+ +2026-01-31T08:20:00\.000Z$/m);
    expect(out).toMatch(/^telemetry +1 +0 +1 /m);
    expect(out).toMatch(/\ndeliveries waiting: 1, unknown outcome: 0, parked: 0; dead letters: 2\n$/);
  });

  it("says the same as JSON", async () => {
    const { out } = await run("depth", "--json");
    const depth = JSON.parse(out) as { lanes: { lane: string }[] };
    expect(depth).toMatchObject({ deliveries: { waiting: 1, unknown: 0 }, deadLetters: 2 });
    expect(depth.lanes.find(({ lane }) => lane === "transaction")).toMatchObject({ last: 3, acknowledged: 1 });
  });
});

describe("plantgate queue list", () => {
  it("lists transactions that lie on disk, in their order", async () => {
    const { code, out } = await run("list");
    expect(code).toBe(0);
    const rows = out.trimEnd().split("\n").slice(1);
    expect(rows.map((row) => row.trim().split(/ {2,}/))).toEqual(
      [2, 3].map((sequence) => [
        String(sequence),
        "2026-01-31T08:20:00.000Z",
        "mfg.pick.confirmed.v1",
        "hq-mo-42",
        picks[sequence - 1]?.idempotencykey,
      ]),
    );
  });

  it("ends at its limit", async () => {
    const { out } = await run("list", "transaction", "--limit", "1", "--json");
    expect(JSON.parse(out)).toEqual([{ sequence: 2, event: picks[1] }]);
  });

  it("lists dead letters and deliveries with their reasons and states", async () => {
    const dead = await run("list", "dead");
    expect(dead.out).toMatch(
      /^dl-text +2026-01-31T08:21:00\.000Z +in +wms +picks +wms\/picks\/PK-7\/confirmed +INPUT_INVALID +item: missing$/m,
    );
    expect(dead.out).toMatch(/^dl-binary .*INPUT_NOT_JSON +not JSON$/m);
    const deliveries = await run("list", "deliveries");
    expect(deliveries.out).toMatch(/^ *1 +wms +orders +hq-mo-42 +waiting +0 +2026-01-31T08:22:00\.000Z$/m);
  });
});

describe("plantgate queue show", () => {
  it("shows a message whole", async () => {
    const { code, out } = await run("show", "transaction", "2");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ lane: "transaction", sequence: 2, event: picks[1] });
  });

  it("shows a dead letter's body as text where it is text, else its bytes", async () => {
    expect(JSON.parse((await run("show", "dl-text")).out)).toMatchObject({ body: '{"txn":"Tä"}', bytes: 13, flow: "picks" });
    expect(JSON.parse((await run("show", "dl-binary")).out)).toMatchObject({ body: { base64: "/wD+" }, bytes: 3 });
  });

  it.each([
    ["an id that is not there", ["show", "dl-none"], 'there is no dead letter "dl-none"'],
    ["a number that is not there", ["show", "transaction", "4"], "lane transaction has no message 4 on disk"],
    ["a number that central has", ["show", "transaction", "1"], "what central has is deleted here"],
    ["a number that is none", ["show", "transaction", "two"], "lane transaction has no message two on disk"],
    [
      "a lane that is none",
      ["show", "orders", "1"],
      'there is no lane "orders"; the lanes are transaction, bulk, telemetry, inbound',
    ],
  ])("says in one sentence that there is no %s", async (_, args, message) => {
    const { code, out, err } = await run(...args);
    expect(err).toMatch(/^plantgate: [^\n]+\n$/);
    expect(err).toContain(message);
    expect({ code, out }).toEqual({ code: 1, out: "" });
  });
});

it("says that a folder holds no queue", async () => {
  const { code, err } = await plantgate(["queue", "depth", "--data", "."], { cwd: folder.path });
  expect(err).toBe("plantgate: . holds no queue: is it a gateway's data folder, and has the gateway run?\n");
  expect(code).toBe(1);
});

it("leaves the queue as it is", async () => {
  const before = await run("depth", "--json");
  for (const args of [["list"], ["list", "dead"], ["show", "dl-text"]]) await run(...args);
  expect((await run("depth", "--json")).out).toBe(before.out);
});

it("says that it left out what cannot be read, and lists what was set aside", async () => {
  mkdirSync(join(folder.path, "lyon-sealed"));
  const data = join(folder.path, "lyon-sealed");
  const store = openStore(data);
  store.configure(queuePolicy.parse({ encryption: { atRest: true } }));
  for (const event of picks) store.commit([{ messages: [{ lane: "transaction", line: JSON.stringify(event) }] }]);
  store.close();
  rmSync(join(data, "keystore"), { recursive: true });
  const sealed = (...args: string[]): Promise<Ended> => plantgateHere(["queue", ...args, "--data", "lyon-sealed"], here);
  const listed = await sealed("list", "transaction", "--json");
  expect(JSON.parse(listed.out)).toEqual([]);
  expect(listed.err).toMatch(/^3 messages were left out: they cannot be read/);
  expect((await sealed("list", "set-aside")).err).toBe("");
  const again = openStore(data);
  expect(linesIn(again)).toEqual([]);
  again.close();
  const aside = await sealed("list", "set-aside", "--json");
  expect(JSON.parse(aside.out)).toMatchObject(
    [1, 2, 3].map((first) => ({ lane: "transaction", first, count: 1, reason: "locked" })),
  );
});
