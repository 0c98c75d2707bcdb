import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { deadLettersIn, delivery, openStore } from "../../support/queue-store.ts";

// so that 256 KiB may wait for one connector, and its dead letters of one direction may take 16 KiB
const small = queuePolicy.parse({ lanes: { transaction: { maxBytes: "1MiB" } } });
const kibibyte = "x".repeat(1024);
const waiting = (connector: string, count: number) => ({
  newDeliveries: Array.from({ length: count }, (_, n) =>
    delivery({ connector, key: `k${n}`, messageId: `m${n}`, line: kibibyte }),
  ),
});
const letter = (connector: string, n: number, direction: "in" | "out" = "in") => ({
  deadLetters: [
    {
      id: `${connector}-${direction}-${n}`,
      at: n * 1000,
      direction,
      connector,
      place: "p",
      code: "INPUT_INVALID" as const,
      reason: "r",
      attempts: 0,
      body: Buffer.from(kibibyte),
    },
  ],
});

it("names a connector for which more waits than its budget, and no other, until it has fallen well below", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  const told: string[][] = [];
  store.onHeldUp = (connectors) => told.push([...connectors]);
  store.commit([waiting("wms", 200), waiting("press", 200)]);
  expect(store.heldUp).toEqual([]);
  store.commit([waiting("wms", 100)]);
  expect(store.heldUp).toEqual(["wms"]);
  const heads = store.deliveryHeads("wms", 1000).map(({ id }) => id);
  store.commit([{ doneDeliveries: heads.slice(0, 50) }]);
  expect(store.heldUp).toEqual(["wms"]);
  store.commit([{ doneDeliveries: heads.slice(50, 100) }]);
  expect(told).toEqual([["wms"], []]);
  store.close();
});

it("knows after a restart for which connectors too much waits", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  store.commit([waiting("wms", 300)]);
  store.close();
  const again = openStore(folder.path);
  expect(again.heldUp).toEqual(["wms"]);
  again.close();
});

it("discards the oldest dead letters of one connector and direction past their budget, and tells how many in their place", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  let told = 0;
  store.onDeadLettersDiscarded = ({ count }) => {
    told += count;
  };
  store.commit([letter("wms", 0, "out"), letter("press", 0)]);
  for (let n = 1; n <= 40; n++) store.commit([letter("wms", n)]);
  const left = deadLettersIn(store);
  const [tombstone] = left.filter(({ code }) => code === "DISCARDED");
  const ofWms = left.filter(({ id }) => id.startsWith("wms-in-"));
  expect(ofWms.map(({ id }) => id)).toEqual(Array.from({ length: ofWms.length }, (_, n) => `wms-in-${40 - n}`));
  expect(ofWms.length).toBeGreaterThan(10);
  expect(ofWms.length).toBeLessThanOrEqual(16);
  const discarded = 40 - ofWms.length;
  expect(tombstone).toMatchObject({ connector: "wms", direction: "in" });
  expect(JSON.parse(Buffer.from(tombstone!.body).toString())).toEqual({
    count: discarded,
    from: "1970-01-01T00:00:01.000Z",
    to: new Date(discarded * 1000).toISOString(),
  });
  expect(left.map(({ id }) => id)).toEqual(expect.arrayContaining(["wms-out-0", "press-in-0"]));
  expect(store.depth().deadLetters).toBe(left.length);
  expect(told).toBe(discarded);
  store.close();
});

/** Bytes that the dead letters take of the file: of its pages those that are in use. */
function usedBytes(store: QueueStore): number {
  const pragma = (name: string): number => Object.values(store.database.prepare(`PRAGMA ${name}`).get()!)[0] as number;
  return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
}
const tiny = (connector: string, from: number, count: number, body = "") => ({
  deadLetters: Array.from({ length: count }, (_, n) => ({
    ...letter(connector, from + n).deadLetters[0]!,
    place: "plant/floor/line-1/press-7/status",
    reason: "the input is not JSON: Unexpected end of JSON input",
    body: Buffer.from(body),
  })),
});

it.each(["", "null"])('holds dead letters to their budget by what they take on disk, also those of the body "%s"', (body) => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(queuePolicy.parse({ lanes: { transaction: { maxBytes: "64MiB" } } }));
  const before = usedBytes(store);
  for (let n = 0; n < 10; n++) store.commit([tiny("wms", n * 1000, 1000, body)]);
  expect(usedBytes(store) - before).toBeLessThan(1.25 * 1024 ** 2);
  expect(usedBytes(store) - before).toBeGreaterThan(0.5 * 1024 ** 2);
  const left = store.database.prepare("SELECT id FROM dead_letters WHERE code <> 'DISCARDED'").all();
  const told = store.database.prepare("SELECT body ->> '$.count' AS count FROM dead_letters WHERE code = 'DISCARDED'").get();
  expect(left.length + Number(told?.count)).toBe(10_000);
  store.close();
});

it("discards as many dead letters as come with one flush, and what is left over with time", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  const held = () => store.database.prepare("SELECT count, bytes FROM held WHERE connector = 'wms' AND kind = 'in'").get();
  const rows = () => store.database.prepare("SELECT count(*) AS n FROM dead_letters").get()!.n as number;
  for (let n = 0; n < 3; n++) store.commit([tiny("wms", n * 3000, 3000)]);
  expect(rows()).toBeLessThan(3100);
  const told: number[] = [];
  store.onDeadLettersDiscarded = ({ count }) => told.push(count);
  // a smaller budget takes effect without a letter more
  store.configure(queuePolicy.parse({ lanes: { transaction: { maxBytes: "128KiB" } } }));
  while (store.maintain());
  expect(held()!.bytes).toBeLessThanOrEqual(2048);
  expect(held()!.count).toBe(rows() - 1);
  expect(told.length).toBeGreaterThan(0);
  expect(store.maintain()).toBe(false);
  store.close();
});

it("counts anew what an earlier program counted otherwise", () => {
  using folder = temporaryFolder();
  const first = openStore(folder.path);
  first.commit([tiny("wms", 0, 100)]);
  const counted = first.database.prepare("SELECT * FROM held").all();
  expect(counted).toMatchObject([{ count: 100 }]);
  const open = (): unknown => {
    const store = openStore(folder.path);
    const found = store.database.prepare("SELECT * FROM held").all();
    store.close();
    return found;
  };
  first.close();
  expect(open()).toEqual(counted);
  // a program that counts bodies alone wrote it, and opened it last
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  db.exec(
    "UPDATE held SET bytes = 0; INSERT INTO boots SELECT 'other', at + 1, kernel_boot, run_ms + 10, uptime_ms FROM boots LIMIT 1",
  );
  db.close();
  expect(open()).toEqual(counted);
  expect(open()).toEqual(counted);
});

it("keeps the newest dead letter, however large it is", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  const [large] = letter("wms", 2).deadLetters;
  store.commit([letter("wms", 1), { deadLetters: [{ ...large!, body: Buffer.alloc(100_000) }] }]);
  expect(deadLettersIn(store).map(({ id }) => id)).toEqual(["wms-in-2", "discarded/in/wms"]);
  store.close();
});

it("P6: what waits for local systems counts for the budget of what central sends, which waits there meanwhile", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  const order = { messages: [{ lane: "inbound" as const, line: "{}" }] };
  expect(store.commit([waiting("wms", 1000), order]).at(-1)).toMatchObject({ appended: 1 });
  store.commit([waiting("press", 100)]);
  expect(() => store.commit([order])).toThrow("lane inbound has used up its budget");
  const heads = store.deliveryHeads("wms", 1000).map(({ id }) => id);
  store.commit([{ doneDeliveries: heads.slice(0, 200) }]);
  expect(store.commit([order])).toMatchObject([{ appended: 1 }]);
  store.close();
});
