import { spawn } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Queue } from "../../../gateway/queue/queue.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { type CloudEvent, queuePolicy } from "../../../protocol/index.ts";
import { launcher, plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick, released, sample } from "../../support/messages.ts";
import { delivery, openStore } from "../../support/queue-store.ts";

const folder = temporaryFolder();
const data = join(folder.path, "lyon");
let queue: Queue;
const order = (key: string, n: number): CloudEvent => released("hq", key, n, { id: `order-${key}-${n}` });
const picked = (txn: string, moId: string): CloudEvent => pick("lyon", txn, { id: `pick-${txn}`, moId });
const line = (event: CloudEvent): string => JSON.stringify(event);
const orderType = "mfg.production-order.released.v1";
const pickType = "mfg.pick.confirmed.v1";

/** A gateway's writer that has the file open for as long as this file's tests run; central has its first transaction, within its recovery point. */
beforeAll(async () => {
  mkdirSync(data);
  queue = await Queue.open({ path: join(data, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  await queue.configure(queuePolicy.parse({ lanes: { telemetry: { maxMessages: 1000 } } }));
  await queue.keepAcknowledged(3_600_000);
  for (const event of [picked("T-1", "mo-1"), picked("T-2", "mo-1"), picked("T-3", "mo-2"), order("mo-2", 1)])
    await queue.commit({ messages: [{ lane: "transaction", line: line(event) }] });
  const { epoch } = await queue.position("transaction");
  await queue.commit({
    acknowledged: { lane: "transaction", epoch, watermark: 1 },
    dispatched: { lane: "transaction", upTo: 4 },
  });
  for (let frame = 0; frame < 12; frame++) {
    const messages = Array.from(
      { length: 100 },
      (_, index) => ({ lane: "telemetry", line: line(sample("lyon", index)) }) as const,
    );
    await queue.commit({ messages });
  }
  await queue.commit({
    newDeliveries: [
      delivery({ key: "mo-1", messageId: "a", line: line(order("mo-1", 1)) }),
      delivery({ key: "mo-2", messageId: "b", line: line(order("mo-2", 1)), connector: "mes", flow: "lines" }),
      delivery({ key: "mo-3", messageId: "c", line: line(picked("T-9", "mo-3")), type: pickType }),
    ],
  });
  const held = { attempts: 2, failures: 2, reason: "no answer" };
  await queue.commit({
    deliveryUpdates: [
      { id: 2, state: "unknown", ...held },
      { id: 3, state: "parked", ...held },
    ],
  });
  const letter = { at: 1, direction: "out", place: "wms/orders", reason: "422", attempts: 1 } as const;
  await queue.commit({
    deadLetters: [
      {
        ...letter,
        id: "dl-1",
        connector: "wms",
        flow: "orders",
        code: "PEER_REFUSED",
        type: orderType,
        key: "mo-1",
        body: Buffer.from("alpha"),
      },
      {
        ...letter,
        id: "dl-2",
        connector: "mes",
        flow: "lines",
        code: "EXPIRED",
        type: pickType,
        key: "mo-2",
        body: Buffer.from("beta"),
      },
    ],
  });
  // the same pick with another quantity, from its own system
  for (const value of ["1", "2"]) {
    const body = { lane: "transaction", line: line(picked("T-3", "mo-2")), input: 0 } as const;
    const from = { connector: "wms", flow: "picks", place: "wms/picks/7/confirmed", receivedAt: 1 };
    const messages = [{ ...body, repeat: { key: "picks/T-3", hash: value.repeat(64) } }];
    await queue.commit({ messages, inputs: [Buffer.from(value)], from });
  }
});
afterAll(async () => {
  await queue.close();
  folder[Symbol.dispose]();
});

const list = async <Row = Record<string, unknown>>(...args: string[]): Promise<Row[]> => {
  const { out, err } = await plantgate(["queue", ...args, "--json", "--data", "lyon"], { cwd: folder.path });
  expect(err).toBe("");
  return JSON.parse(out) as Row[];
};
const ids = async (...args: string[]) =>
  (await list<{ event: CloudEvent }>("list", "transaction", ...args)).map(({ event }) => event.id);
const letters = async (...args: string[]) =>
  (await list("list", "dead", ...args)).map(({ id, code }) => (code === "KEY_CONFLICT" ? code : id)).toSorted();
const deliveries = async (what: string, ...args: string[]) =>
  (await list("list", what, ...args)).map(({ messageId }) => messageId);

describe("plantgate queue list, beside a writer", () => {
  it.each([
    ["what waits", [], ["pick-T-2", "pick-T-3", "order-mo-2-1", "pick-T-3"]],
    ["what is kept as well", ["--kept"], ["pick-T-1", "pick-T-2", "pick-T-3", "order-mo-2-1", "pick-T-3"]],
    ["one type", ["--type", orderType], ["order-mo-2-1"]],
    ["one key", ["--key", "mo-1"], ["pick-T-2"]],
    ["one key of what is kept", ["--key", "mo-1", "--kept"], ["pick-T-1", "pick-T-2"]],
    ["what holds a text", ["--text", '"txnId":"T-2"'], ["pick-T-2"]],
    ["a type and a key at once", ["--type", pickType, "--key", "mo-2", "--limit", "1"], ["pick-T-3"]],
  ] as const)("shows of messages %s", async (_, args, expected) => {
    expect(await ids(...args)).toEqual(expected);
  });

  it.each([
    ["all", [], ["KEY_CONFLICT", "dl-1", "dl-2"]],
    ["one code", ["--code", "EXPIRED"], ["dl-2"]],
    ["one type, conflicts with them", ["--type", pickType], ["KEY_CONFLICT", "dl-2"]],
    ["one key, conflicts with them", ["--key", "mo-2"], ["KEY_CONFLICT", "dl-2"]],
    ["another key", ["--key", "mo-1"], ["dl-1"]],
    ["one connector", ["--connector", "mes"], ["dl-2"]],
    ["one flow", ["--flow", "picks"], ["KEY_CONFLICT"]],
    ["a text of the body", ["--text", "alph"], ["dl-1"]],
    ["a text of the place", ["--text", "wms/picks"], ["KEY_CONFLICT"]],
  ] as const)("shows of dead letters %s", async (_, args, expected) => {
    expect(await letters(...args)).toEqual(expected);
  });

  it.each([
    ["deliveries", [], ["a", "b", "c"]],
    ["undecided", [], ["b", "c"]],
    ["undecided", ["--type", pickType], ["c"]],
    ["undecided", ["--key", "mo-2"], ["b"]],
    ["deliveries", ["--connector", "mes"], ["b"]],
    ["deliveries", ["--flow", "orders"], ["a", "c"]],
    ["deliveries", ["--text", "T-9"], ["c"]],
  ] as const)("shows of %s with %j what fits", async (what, args, expected) => {
    expect(await deliveries(what, ...args)).toEqual(expected);
  });

  it("shows the ranges that were discarded, and says so of a number in one", async () => {
    const [hole, ...others] = await list<{ lane: string; first: number; count: number; reason: string }>("list", "holes");
    expect(others).toEqual([]);
    expect(hole).toMatchObject({ lane: "telemetry", first: 1, reason: "count" });
    const { count } = hole!;
    expect(count).toBeGreaterThanOrEqual(200);
    const shown = await plantgate(["queue", "show", "telemetry", "7", "--data", "lyon"], { cwd: folder.path });
    expect(shown.err).toContain(`sequences 1 to ${count} of it hold no messages any more: count`);
    const next = await plantgate(["queue", "show", "telemetry", String(count + 1), "--data", "lyon"], { cwd: folder.path });
    expect(JSON.parse(next.out)).toMatchObject({ lane: "telemetry", sequence: count + 1 });
  });
});

it.each([
  [
    "type",
    [
      [pickType, 3],
      [orderType, 1],
    ],
  ],
  [
    "key",
    [
      ["mo-2", 3],
      ["mo-1", 1],
    ],
  ],
] as const)("counts what waits per %s, largest first", async (by, expected) => {
  const rows = await list<{ lane: string; waiting: number; type?: string; key?: string }>("depth", "--by", by);
  expect(rows.map(({ waiting }) => waiting)).toEqual(rows.map(({ waiting }) => waiting).toSorted((a, b) => b - a));
  const found = rows.filter(({ lane }) => lane === "transaction").map((row) => [row[by], row.waiting]);
  expect(found).toEqual(expected);
  expect(await list("depth", "--by", by, "--limit", "1")).toHaveLength(1);
});

it("lets its writer commit while a long listing stands still before its reader", async () => {
  const messages = Array.from(
    { length: 1000 },
    (_, index) => ({ lane: "bulk", line: line(picked(`B-${index}`, "mo-5")) }) as const,
  );
  for (let round = 0; round < 5; round++) await queue.commit({ messages });
  const args = ["queue", "list", "bulk", "--limit", "5000", "--json", "--data", "lyon"];
  const child = spawn(process.execPath, [launcher, ...args], { cwd: folder.path, stdio: ["ignore", "pipe", "inherit"] });
  let [commits, printing] = [0, Number.POSITIVE_INFINITY];
  void once(child.stdout, "readable").then(() => {
    printing = commits;
  });
  // while it reads, and while it stands in the middle of what it writes: its first bytes are there and nobody takes the rest
  for (let index = 0; index < printing + 100; index++) {
    await queue.commit({ messages: [{ lane: "bulk", line: line(picked(`later-${index}`, "mo-6")) }] });
    commits += 1;
  }
  expect(child.exitCode).toBeNull();
  const [out] = await Promise.all([text(child.stdout), once(child, "close")]);
  expect(JSON.parse(out)).toHaveLength(5000);
  expect((await queue.position("bulk")).last).toBe(5000 + commits);
});

it("holds no lock between the messages of a listing", async () => {
  const messages = Array.from({ length: 3 }, (_, index) => ({ lane: "bulk", line: line(picked(`L-${index}`, "mo-7")) }) as const);
  await queue.commit({ messages });
  using reader = new QueueReader(join(data, "queue.sqlite"));
  const listing = reader.messages("bulk");
  expect(listing.next().done).toBe(false);
  const before = (await queue.position("bulk")).last;
  await queue.commit({ messages });
  expect((await queue.position("bulk")).last).toBe(before + 3);
  expect([...listing].length).toBeGreaterThanOrEqual(before - 1);
});

it("opens a sealed queue with the recovery key, when the folder's own key is lost", async () => {
  using own = temporaryFolder();
  const recovery = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keystore = join(own.path, "data", "keystore");
  mkdirSync(keystore, { recursive: true });
  writeFileSync(join(keystore, "recovery.pem"), recovery.publicKey.export({ type: "spki", format: "pem" }));
  const store = openStore(join(own.path, "data"));
  store.configure(queuePolicy.parse({ encryption: { atRest: true } }));
  store.commit([{ messages: [{ lane: "transaction", line: line(picked("T-1", "mo-1")) }] }]);
  store.close();
  rmSync(join(keystore, "wrapping.key"));
  const run = (...args: string[]) => plantgate(["queue", ...args, "--data", "data"], { cwd: own.path });
  expect((await run("show", "transaction", "1")).code).not.toBe(0);
  const write = (name: string, key: KeyObject): void =>
    writeFileSync(join(own.path, name), key.export({ type: "pkcs8", format: "pem" }));
  write("wrong.pem", other.privateKey);
  write("right.pem", recovery.privateKey);
  const refused = await run("recover-keys", "--recovery-key", "wrong.pem");
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.err).toContain("not the private half");
  expect(await run("recover-keys", "--recovery-key", "right.pem")).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^1 key recovered\. .*plantgate queue list set-aside/),
  });
  expect(JSON.parse((await run("show", "transaction", "1")).out)).toMatchObject({ event: { id: "pick-T-1" } });
});
