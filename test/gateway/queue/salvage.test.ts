import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { noteDamage } from "../../../gateway/queue/file.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { deadLettersIn, delivery, laneOf, linesIn, messagesIn, openStore, rangesIn } from "../../support/queue-store.ts";

const pageBytes = 4096;
const line = (n: number): string => JSON.stringify({ id: `m${n}`, text: "x".repeat(200) });
const append = (store: QueueStore, from: number, to: number): void => {
  for (let n = from; n <= to; n++) store.commit([{ messages: [{ lane: "transaction", line: line(n) }] }]);
};
const deliver = (store: QueueStore, count: number, rest: Parameters<typeof delivery>[0] = {}): void => {
  const newDeliveries = Array.from({ length: count }, (_, n) =>
    delivery({ key: `k${n % 3}`, line: line(n), messageId: `m${n}`, ...rest }),
  );
  store.commit([{ newDeliveries }]);
};

/** Overwrites pages of a table with nonsense: its root, or, for a larger one, a leaf in the middle. */
function harm(path: string, table: string, which: "root" | "leaf"): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const root = db.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").get(table)!.rootpage as number;
  const leaves = db.prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path").all(table);
  db.close();
  const page = which === "root" ? root : (leaves[Math.floor(leaves.length / 2)]!.pageno as number);
  const handle = openSync(path, "r+");
  writeSync(handle, Buffer.alloc(pageBytes, 0xaa), 0, pageBytes, (page - 1) * pageBytes);
  closeSync(handle);
}

/** As the worker does: damage that shows at the first read is dealt with at the next start. */
function openDamaged(folder: string): QueueStore {
  noteDamage(join(folder, "queue.sqlite"));
  return openStore(folder);
}

it("carries deliveries over from both sides of a damaged page, each key with its first at the head, as what may have been done", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 5);
  deliver(store, 400);
  store.commit([{ dispatched: { lane: "transaction", upTo: 5 } }]);
  store.close();
  harm(join(folder.path, "queue.sqlite"), "deliveries", "leaf");
  const after = openDamaged(folder.path);
  expect(after.found.salvaged?.incomplete).toContain("deliveries");
  const total = after.depth().deliveries.waiting;
  expect(total).toBeGreaterThan(300);
  expect(total).toBeLessThan(400);
  const heads = after.deliveryHeads("wms", 10);
  expect(heads.map(({ key }) => key).toSorted()).toEqual(["k0", "k1", "k2"]);
  expect(heads.every(({ again }) => again)).toBe(true);
  // what is still in the lane is dispatched once more, marked as such
  expect(after.position("transaction").dispatched).toBe(0);
  expect(after.frames("transaction", 0, { frames: 10, bytes: 1e6 }).every(({ again }) => again)).toBe(true);
  after.close();
});

it("makes no second row of what is dispatched once more while its row is still there", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  deliver(store, 1);
  deliver(store, 1, { again: true });
  deliver(store, 1, { again: true, messageId: "other" });
  expect(store.depth().deliveries.waiting).toBe(2);
  store.close();
});

it("goes on behind what it knew when the lanes' state is lost: no number twice, what was delivered marked, nothing unsealed", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(queuePolicy.parse({ encryption: { atRest: true } }));
  append(store, 1, 20);
  const { epoch } = laneOf(store, "transaction");
  store.commit([
    { acknowledged: { lane: "transaction", epoch, watermark: 5 } },
    { dispatched: { lane: "transaction", upTo: 12 } },
  ]);
  store.close();
  harm(join(folder.path, "queue.sqlite"), "lanes", "root");
  const after = openDamaged(folder.path);
  const lane = laneOf(after, "transaction");
  expect(lane).toMatchObject({
    last: 20,
    acknowledged: 5,
    dispatched: 12,
    epochFirst: 6,
    predecessor: { epoch, lastSequence: 5 },
  });
  expect(lane.epoch).not.toBe(epoch);
  expect(rangesIn(after, "transaction")).toEqual(["6-20"]);
  expect(after.frames("transaction", 12, { frames: 1, bytes: 1e6 })[0]).toMatchObject({ first: 13, again: true });
  append(after, 21, 21);
  expect(messagesIn(after, "transaction").at(-1)).toEqual([21, line(21)]);
  after.close();
  expect(readFileSync(join(folder.path, "queue.sqlite"), "latin1")).not.toContain("xxxxxxxxxx");
});

it("keeps policy, cursors and dead letters", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 3);
  store.configure(queuePolicy.parse({ lanes: { telemetry: { maxBytes: "5MiB" } } }));
  const letter = {
    id: "d1",
    at: 1,
    direction: "in",
    connector: "c",
    place: "p",
    code: "INPUT_INVALID",
    reason: "r",
    attempts: 0,
  } as const;
  store.commit([{ cursors: [{ name: "downlink", value: "7" }], deadLetters: [{ ...letter, body: Buffer.from("b") }] }]);
  store.close();
  harm(join(folder.path, "queue.sqlite"), "boots", "root");
  const after = openDamaged(folder.path);
  expect(after.cursor("downlink")).toBe("7");
  expect(deadLettersIn(after)).toHaveLength(1);
  expect(after.depth().deadLetters).toBe(1);
  expect(after.database.prepare("SELECT value FROM meta WHERE name = 'policy'").get()!.value).toContain("5MiB");
  expect(linesIn(after)).toEqual([1, 2, 3].map(line));
  after.close();
});

it("begins anew when it was interrupted while the new file was made", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 50);
  store.close();
  noteDamage(path);
  // half a file, as a crash leaves it
  const half = new DatabaseSync(`${path}.salvaged`);
  half.exec("CREATE TABLE meta (name TEXT, value TEXT)");
  half.close();
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-50"]);
  expect(existsSync(`${path}.salvaged`)).toBe(false);
  expect(existsSync(`${path}.damaged`)).toBe(false);
  after.close();
});

it("goes on with a new file that was whole when it was interrupted before it was put in place", () => {
  using folder = temporaryFolder();
  using other = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 50);
  store.close();
  // a whole new file, the damaged one already moved away
  mkdirSync(other.path, { recursive: true });
  copyFileSync(path, join(other.path, "queue.sqlite"));
  copyFileSync(`${path}.mark`, join(other.path, "queue.sqlite.mark"));
  noteDamage(join(other.path, "queue.sqlite"));
  openStore(other.path).close();
  const db = new DatabaseSync(join(other.path, "queue.sqlite"));
  db.exec("PRAGMA journal_mode = DELETE");
  db.close();
  copyFileSync(join(other.path, "queue.sqlite"), `${path}.salvaged`);
  rmSync(path);
  noteDamage(path);
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-50"]);
  after.close();
});

it("carries over a damaged file of format 1", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  copyFileSync(join(import.meta.dirname, "../../fixtures/queue/v1.sqlite"), path);
  harm(path, "boots", "root");
  const after = openDamaged(folder.path);
  expect(linesIn(after, "telemetry")).toEqual(['{"id":"s1"}', '{"id":"s2"}', '{"id":"s3"}']);
  expect(linesIn(after, "transaction")).toContain('{"id":"t3"}');
  expect(after.deliveryHeads("wms", 10)).toMatchObject([{ id: 1, again: true, line: '{"id":"i1"}' }]);
  expect(deadLettersIn(after)).toHaveLength(1);
  after.close();
});

it("marks every delivery as what may have been made when the end of the log is gone", () => {
  using folder = temporaryFolder();
  using copy = temporaryFolder();
  const store = openStore(folder.path);
  deliver(store, 3);
  store.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const heads = store.deliveryHeads("wms", 1);
  store.commit([
    { doneDeliveries: heads.map(({ id }) => id), messages: [{ lane: "transaction", line: line(1) }], control: true },
  ]);
  for (const name of ["queue.sqlite", "queue.sqlite.mark"]) copyFileSync(join(folder.path, name), join(copy.path, name));
  writeFileSync(join(copy.path, "queue.sqlite-wal"), "");
  store.close();
  const after = openStore(copy.path);
  expect(after.found.lost).toEqual([{ lane: "transaction", first: 1, count: 1 }]);
  expect(after.deliveryHeads("wms", 10).map(({ again }) => again)).toEqual([true, true, true]);
  after.close();
});
