import { fork } from "node:child_process";
import { once } from "node:events";
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
import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { noteDamage, noteFailure } from "../../../gateway/queue/damage.ts";
import { makeTables, openDatabase } from "../../../gateway/queue/file.ts";
import { framePosition } from "../../../gateway/queue/schema.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { copyQueue, fillLive, live, openLive } from "../../support/queue-life.ts";
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

/** Overwrites a page of a table with nonsense: its root, or, for a larger one, a leaf in the middle or its first one. */
function harm(path: string, table: string, which: "root" | "leaf" | "first leaf"): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const root = db.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").get(table)!.rootpage as number;
  const leaves = db.prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path").all(table);
  db.close();
  const page = which === "root" ? root : (leaves[which === "leaf" ? Math.floor(leaves.length / 2) : 0]!.pageno as number);
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

it("rule 6: knows the epochs that a lane has left, which a restored central may have less of", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 5);
  const { epoch } = store.position("transaction");
  store.commit([{ acknowledged: { lane: "transaction", epoch, watermark: 3 }, control: true }]);
  store.openEpoch("transaction");
  const left = store.leftEpochs();
  expect(left).toMatchObject([{ epoch, first: 1, last: 3 }]);
  store.close();
  harm(join(folder.path, "queue.sqlite"), "dead_letters", "root");
  const after = openDamaged(folder.path);
  expect(after.found.salvaged?.incomplete).toContain("dead_letters");
  expect(after.leftEpochs()).toEqual(left);
  const { frames } = after.nextLeft("transaction", epoch, 1, { frames: 10, bytes: 1e6 });
  expect(frames.map(({ first, hole }) => [first, hole])).toEqual([2, 3].map((first) => [first, undefined]));
  after.close();
});

it.each(["leaf", "first leaf"] as const)(
  "keeps the order of a key when deliveries of it are lost with a %s: what has its row stands behind what lost it",
  (which) => {
    using folder = temporaryFolder();
    const store = openStore(folder.path);
    const count = 120;
    const stateOf = (n: number, rest: Parameters<typeof delivery>[0] = {}) =>
      delivery({ line: line(n), messageId: `m${n}`, stateKey: "mo-1", ...rest });
    append(store, 1, count);
    const numbers = Array.from({ length: count }, (_, n) => n);
    store.commit([{ newDeliveries: numbers.map((n) => stateOf(n)), dispatched: { lane: "transaction", upTo: count } }]);
    // what was delivered still lies in the lane; one awaits its receiver's answer
    const head = () => store.deliveryHeads("wms", 1)[0]!;
    for (let n = 0; n < 3; n++) store.commit([{ doneDeliveries: [head().id] }]);
    store.commit([{ deliveryUpdates: [{ id: head().id, state: "sent", attempts: 1, failures: 0, reason: "r" }] }]);
    store.close();
    harm(join(folder.path, "queue.sqlite"), "deliveries", which);
    const after = openDamaged(folder.path);
    const left = after.depth().deliveries.waiting;
    expect(left).toBeLessThan(count - 3);
    // as the dispatcher does, in steps
    for (let from = 0; from < count; from += 40) {
      const newDeliveries = numbers.slice(from, from + 40).map((n) => stateOf(n, { again: true }));
      after.commit([{ newDeliveries, dispatched: { lane: "transaction", upTo: from + 40 } }]);
    }
    expect(after.depth().deliveries.waiting).toBe(count);
    const first = after.deliveryHeads("wms", 10);
    expect(first).toMatchObject([{ messageId: "m0" }]);
    expect(after.newerDelivery(first[0]!)).toEqual({ messageId: `m${count - 1}` });
    const order: string[] = [];
    for (let heads = first; heads.length > 0; heads = after.deliveryHeads("wms", 10)) {
      expect(heads).toHaveLength(1);
      order.push(heads[0]!.messageId);
      if (which === "leaf" && heads[0]!.messageId === "m3")
        expect(heads[0]).toMatchObject({ state: "intent", attempts: 1, reason: "r" });
      after.commit([{ doneDeliveries: [heads[0]!.id] }]);
    }
    expect(order).toEqual(numbers.map((n) => `m${n}`));
    expect(after.depth().deliveries.waiting).toBe(0);
    after.close();
  },
);

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

it("begins anew when what it made still lay in the new file's log when it was interrupted", () => {
  using folder = temporaryFolder();
  using other = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 50);
  store.close();
  noteDamage(path);
  // a new file that is committed, before its log was moved into it
  const made = openDatabase(join(other.path, "made"));
  makeTables(made, "lyon");
  made.exec("INSERT INTO meta VALUES ('salvaged', '[]')");
  for (const ending of ["", "-wal", "-shm"]) copyFileSync(join(other.path, `made${ending}`), `${path}.salvaged${ending}`);
  made.close();
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-50"]);
  after.close();
});

it("takes a salvage up again that was killed, wherever that was", async () => {
  using base = temporaryFolder();
  const store = openLive(base.path);
  const known = fillLive(store, 120);
  store.close();
  const path = join(base.path, "queue.sqlite");
  harm(path, "deliveries", "leaf");
  harm(path, "frames", "leaf");
  noteDamage(path);
  let killed = 0;
  // how long it takes depends on the machine
  for (let round = 0; round < 6 || (killed === 0 && round < 60); round++) {
    const afterMs = round < 6 ? round * 20 : round % 10;
    using folder = temporaryFolder();
    copyQueue(base.path, folder.path);
    const child = fork(join(import.meta.dirname, "../../support/queue-child.ts"), [folder.path], { silent: true });
    const ended = once(child, "exit");
    await Promise.race([once(child, "message"), ended]);
    await setTimeout(afterMs);
    child.kill("SIGKILL");
    await ended;
    // one that came to its end has told what is missing
    if (!existsSync(join(folder.path, "queue.sqlite.damaged"))) continue;
    killed += 1;
    expect(live(folder.path, known).problems).toEqual([]);
    expect(existsSync(join(folder.path, "queue.sqlite.damaged"))).toBe(false);
  }
  expect(killed).toBeGreaterThan(0);
});

it("carries rows over around one with a value of another kind than its column's", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 9);
  deliver(store, 6);
  store.close();
  const db = new DatabaseSync(path);
  // STRICT holds for what is written, not for what is read
  db.enableDefensive(false);
  db.exec("PRAGMA writable_schema = ON");
  db.exec("UPDATE sqlite_master SET sql = replace(sql, ' STRICT', '') WHERE name IN ('frames', 'deliveries')");
  db.close();
  const loose = new DatabaseSync(path);
  loose.prepare("UPDATE frames SET count = 'one' WHERE position = ?").run(framePosition("transaction", 5));
  loose.exec("UPDATE deliveries SET created_at = 'then' WHERE id = 3");
  loose.close();
  const after = openDamaged(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-4", "5-5 damaged", "6-9"]);
  expect(after.depth().deliveries.waiting).toBe(5);
  expect(after.found.salvaged?.incomplete.toSorted()).toEqual(["deliveries", "frames of transaction"]);
  after.close();
});

it("looks through a file on which something failed that never fails on a whole one, and salvages it only where it is damaged", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 5);
  store.close();
  noteFailure(path, new TypeError("a mistake of ours"));
  expect(existsSync(`${path}.doubted`)).toBe(true);
  const whole = openStore(folder.path);
  expect(whole.found.salvaged).toBeUndefined();
  expect(existsSync(`${path}.doubted`)).toBe(false);
  whole.close();
  const db = new DatabaseSync(path);
  db.exec("ALTER TABLE frames RENAME COLUMN events TO evfnts");
  db.close();
  noteFailure(path, Object.assign(new Error("no such column: events"), { errcode: 1 }));
  const after = openStore(folder.path);
  expect(after.found.salvaged?.incomplete).toContain("frames of transaction");
  // none of its events can be found any more, and all of them are told as lost
  expect(rangesIn(after, "transaction")).toEqual(["1-5 damaged"]);
  after.close();
});

it("knows a file whose site or format changed by what it was made for, and refuses another site's", () => {
  for (const [name, value] of [
    ["site", "lyoo"],
    ["format", "s"],
    ["format", "2"],
    ["format", "3"],
  ] as const) {
    using folder = temporaryFolder();
    const store = openStore(folder.path);
    append(store, 1, 5);
    store.close();
    const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
    db.prepare("UPDATE meta SET value = ? WHERE name = ?").run(value, name);
    db.close();
    const after = openStore(folder.path);
    expect(rangesIn(after, "transaction")).toEqual(["1-5"]);
    after.close();
    expect(() => openStore(folder.path, { site: "turin" })).toThrow('belongs to site "lyon"');
  }
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
