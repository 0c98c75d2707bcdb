import { expect, it } from "vitest";
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

it("keeps the newest dead letter, however large it is", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(small);
  const [large] = letter("wms", 2).deadLetters;
  store.commit([letter("wms", 1), { deadLetters: [{ ...large!, body: Buffer.alloc(100_000) }] }]);
  expect(deadLettersIn(store).map(({ id }) => id)).toEqual(["wms-in-2", "discarded/in/wms"]);
  store.close();
});
