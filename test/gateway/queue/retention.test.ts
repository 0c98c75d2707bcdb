import { expect, it } from "vitest";
import { defaultQueuePolicy, type QueuePolicy, queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hash, laneOf, linesIn, openStore, rangesIn, TestKernel } from "../../support/queue-store.ts";

/** A line that no compression makes much smaller. */
const noise = (seed: string): string => Array.from({ length: 8 }, (_, index) => hash(`${seed}/${index}`)).join("");
const samples = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ lane: "telemetry" as const, line: noise(String(from + index)) }));
const telemetry = (limits: Partial<QueuePolicy["lanes"]["telemetry"]>): QueuePolicy =>
  queuePolicy.parse({ lanes: { telemetry: limits } });

it("discards the oldest samples past the budget by size, and leaves one hole of the same sequences", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(telemetry({ maxBytes: "64KiB" }));
  for (let at = 1; at <= 1000; at += 10) store.commit([{ messages: samples(at, at + 9) }]);
  const ranges = rangesIn(store, "telemetry");
  expect(ranges).toHaveLength(2);
  expect(ranges[0]).toMatch(/^1-\d+ size$/);
  expect(ranges[1]).toMatch(/-1000$/);
  const kept = linesIn(store, "telemetry");
  expect(kept.at(-1)).toBe(noise("1000"));
  expect(kept.length).toBeGreaterThan(50);
  expect(laneOf(store, "telemetry").storedBytes).toBeLessThanOrEqual(64 * 1024);
  expect(laneOf(store, "telemetry")).toMatchObject({ last: 1000 });
  store.close();
});

it("links the hole into the chain, so that what follows it still belongs to what was before", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  for (let at = 1; at <= 60; at += 10) store.commit([{ messages: samples(at, at + 9) }]);
  const before = store.frames("telemetry", 0, { frames: 100, bytes: 1e9 });
  store.configure(telemetry({ maxMessages: 1000 }));
  store.configure({ ...defaultQueuePolicy, lanes: { ...defaultQueuePolicy.lanes, telemetry: { maxBytes: "4KiB", weight: 1 } } });
  store.commit([{ messages: samples(61, 61) }]);
  const after = store.frames("telemetry", 0, { frames: 100, bytes: 1e9 });
  const hole = after.find((frame) => frame.hole !== undefined)!;
  const replaced = before.find((frame) => frame.first + frame.count === hole.first + hole.count)!;
  expect(hole.chain).toBe(replaced.chain);
  store.close();
});

it("discards past the budget by count and by age, and names each reason", () => {
  using folder = temporaryFolder();
  const kernel = new TestKernel();
  const store = openStore(folder.path, { kernel });
  store.configure(telemetry({ maxMessages: 1000 }));
  for (let at = 1; at <= 1500; at += 100) store.commit([{ messages: samples(at, at + 99) }]);
  expect(rangesIn(store, "telemetry")).toEqual(["1-500 count", "501-1500"]);
  store.configure(telemetry({ maxAge: "1h" }));
  kernel.uptime += 3_000_000;
  store.commit([{ messages: samples(1501, 1600) }]);
  kernel.uptime += 700_000;
  store.maintain();
  expect(rangesIn(store, "telemetry")).toEqual(["1-500 count", "501-1500 age", "1501-1600"]);
  store.close();
});

it("measures age by running time: no setting of the clock discards a sample", () => {
  using folder = temporaryFolder();
  let now = 1_700_000_000_000;
  const store = openStore(folder.path, { now: () => now });
  store.configure(telemetry({ maxAge: "1h" }));
  store.commit([{ messages: samples(1, 10) }]);
  now += 10 * 365 * 86_400_000;
  store.maintain();
  store.commit([{ messages: samples(11, 20) }]);
  now -= 40 * 365 * 86_400_000;
  store.maintain();
  store.commit([{ messages: samples(21, 30) }]);
  expect(rangesIn(store, "telemetry")).toEqual(["1-30"]);
  store.close();
});

it("discards nothing that is on its way to central", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  for (let at = 1; at <= 100; at += 10) store.commit([{ messages: samples(at, at + 9) }]);
  const underWay = store.frames("telemetry", 0, { frames: 3, bytes: 1e9, pin: true });
  expect(underWay.at(-1)).toMatchObject({ first: 21, count: 10 });
  store.configure(telemetry({ maxBytes: "4KiB" }));
  store.commit([{ messages: samples(101, 110) }]);
  expect(rangesIn(store, "telemetry").slice(0, 2)).toEqual(["1-30", expect.stringMatching(/^31-\d+ size$/)]);
  store.close();
});

it("refuses batch data and transactions past their budgets, each by itself, and takes them again when there is room", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.keepAcknowledged(0);
  store.configure(queuePolicy.parse({ lanes: { transaction: { maxBytes: "8KiB" } } }));
  const append = (lane: "transaction" | "bulk", name: string) => ({ messages: [{ lane, line: noise(name) }] });
  let accepted = 0;
  const refuse = (): unknown => {
    for (; accepted < 100; accepted++) {
      try {
        store.commit([append("transaction", String(accepted))]);
      } catch (error) {
        return error;
      }
    }
    return undefined;
  };
  expect(refuse()).toMatchObject({ code: "QUEUE_FULL", disposition: "shed" });
  // with the one that crossed it
  expect(laneOf(store, "transaction").waitingBytes).toBeLessThan(9 * 1024);
  expect(store.commitGroup([{ change: append("transaction", "x") }, { change: append("bulk", "b") }])).toMatchObject([
    { code: "QUEUE_FULL" },
    { appended: 1 },
  ]);
  // what the gateway notes of its own work is not refused
  expect(store.commit([{ ...append("transaction", "outcome"), control: true }])).toMatchObject([{ appended: 1 }]);
  const { epoch, last } = laneOf(store, "transaction");
  store.commit([
    { acknowledged: { lane: "transaction", epoch, watermark: last }, dispatched: { lane: "transaction", upTo: last } },
  ]);
  expect(store.commit([append("transaction", "after")])).toMatchObject([{ appended: 1 }]);
  store.close();
});

it("keeps what central acknowledged for its recovery point, by running time, and deletes it then", () => {
  using folder = temporaryFolder();
  const kernel = new TestKernel();
  const store = openStore(folder.path, { kernel });
  store.keepAcknowledged(3_600_000);
  store.commit([{ messages: samples(1, 10) }]);
  const { epoch } = laneOf(store, "telemetry");
  store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: 10 } }]);
  kernel.uptime += 1_800_000;
  store.commit([{ messages: samples(11, 20) }]);
  store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: 20 } }]);
  kernel.uptime += 1_900_000;
  // while central is away nothing that it may have lost is let go of
  store.maintain();
  expect(rangesIn(store, "telemetry")).toEqual(["1-20"]);
  // it is back, and may have been restored: a word about another lane says nothing of this one
  store.keepAcknowledged(3_600_000);
  store.confirm("transaction", 0);
  store.commit([{ acknowledged: { lane: "bulk", epoch: laneOf(store, "bulk").epoch, watermark: 0 } }]);
  store.maintain();
  expect(rangesIn(store, "telemetry")).toEqual(["1-20"]);
  store.confirm("telemetry", 20);
  store.maintain();
  expect(rangesIn(store, "telemetry")).toEqual(["11-20"]);
  expect(store.position("telemetry")).toMatchObject({ acknowledged: 20, pruned: 10 });
  expect(laneOf(store, "telemetry")).toMatchObject({ waitingBytes: 0 });
  store.close();
});

it("keeps what a restored central lost for as long as it was away", () => {
  using folder = temporaryFolder();
  const kernel = new TestKernel();
  const store = openStore(folder.path, { kernel });
  store.keepAcknowledged(3_600_000);
  for (const at of [1, 11]) store.commit([{ messages: samples(at, at + 9) }]);
  const { epoch } = laneOf(store, "telemetry");
  store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: 20 } }]);
  kernel.uptime += 7_200_000;
  store.keepAcknowledged(3_600_000);
  store.maintain();
  store.confirm("telemetry", 10);
  store.maintain();
  expect(store.position("telemetry")).toMatchObject({ acknowledged: 10, pruned: 0 });
  store.close();
});

it("lets go of what is only kept for central before it discards a sample", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.keepAcknowledged(3_600_000);
  store.configure(telemetry({ maxBytes: "64KiB" }));
  for (let at = 1; at <= 200; at += 10) store.commit([{ messages: samples(at, at + 9) }]);
  const { epoch } = laneOf(store, "telemetry");
  store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: 200 } }]);
  for (let at = 201; at <= 300; at += 10) store.commit([{ messages: samples(at, at + 9) }]);
  expect(store.position("telemetry").pruned).toBeGreaterThan(0);
  expect(rangesIn(store, "telemetry").every((range) => !range.includes("size"))).toBe(true);
  expect(linesIn(store, "telemetry").at(-1)).toBe(noise("300"));
  store.close();
});

it("gives the file's space back after a drain, in steps", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.keepAcknowledged(0);
  for (let at = 1; at <= 60_000; at += 1000) store.commit([{ messages: samples(at, at + 999) }]);
  const pages = (): number => store.database.prepare("PRAGMA page_count").get()!.page_count as number;
  const full = pages();
  const { epoch, last } = laneOf(store, "telemetry");
  store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: last } }]);
  while (store.maintain());
  expect(pages()).toBeLessThan(full / 2);
  expect(pages() * 4096).toBeLessThan(10 * 1024 * 1024);
  store.close();
});

it("P6: keeps of raw inputs beside one frame no more than 4 MiB, so that reading one takes so much memory at most", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const inputs = Array.from({ length: 6 }, () => new Uint8Array(1024 * 1024));
  store.commit([{ messages: inputs.map((_, input) => ({ lane: "transaction" as const, line: "{}", input })), inputs }]);
  const frames = store.frames("transaction", 0, { frames: 10, bytes: 1e9 });
  expect(frames.map(({ first, count }) => [first, count])).toEqual([
    [1, 4],
    [5, 2],
  ]);
  store.close();
});

it("P2: deletes nothing that its local destinations have not got yet, however long central has had it", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.keepAcknowledged(0);
  const lines = ["a", "b", "c"].map((name) => noise(name));
  for (const line of lines) store.commit([{ messages: [{ lane: "transaction", line }] }]);
  const { epoch } = laneOf(store, "transaction");
  store.commit([{ dispatched: { lane: "transaction", upTo: 1 } }]);
  store.commit([{ acknowledged: { lane: "transaction", epoch, watermark: 3 } }]);
  store.maintain();
  expect(linesIn(store)).toEqual(lines.slice(1));
  store.commit([{ dispatched: { lane: "transaction", upTo: 3 } }]);
  store.maintain();
  expect(linesIn(store)).toEqual([]);
  store.close();
});
