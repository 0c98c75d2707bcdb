import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { formatVersion } from "../../../gateway/queue/schema.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { deadLettersIn, laneOf, linesIn, openStore } from "../../support/queue-store.ts";

const golden = (version: number): string => join(import.meta.dirname, `../../fixtures/queue/v${version}.sqlite`);
const versions = Array.from({ length: formatVersion }, (_, index) => index + 1);

it("has a golden file of each version", () => {
  for (const version of versions) expect(existsSync(golden(version)), `v${version}`).toBe(true);
});

it.each(versions)("opens a file of version %i with all that lies in it, and goes on with its numbers and epochs", (version) => {
  using folder = temporaryFolder();
  copyFileSync(golden(version), join(folder.path, "queue.sqlite"));
  const before = new DatabaseSync(join(folder.path, "queue.sqlite"));
  const epochs = before.prepare("SELECT lane, epoch FROM lanes ORDER BY lane").all();
  before.close();
  const store = openStore(folder.path);
  expect(linesIn(store, "transaction")).toEqual(['{"id":"t3"}']);
  expect(linesIn(store, "telemetry")).toEqual(['{"id":"s1"}', '{"id":"s2"}', '{"id":"s3"}']);
  expect(linesIn(store, "bulk")).toEqual(['{"id":"b1"}']);
  expect(laneOf(store, "transaction")).toMatchObject({ last: 3, acknowledged: 2, dispatched: 2 });
  expect(laneOf(store, "telemetry").waitingBytes).toBeGreaterThan(0);
  expect(laneOf(store, "inbound")).toMatchObject({ last: 2, dispatched: 2, waitingBytes: 0 });
  expect(store.deliveryHeads("wms", 10)).toMatchObject([
    { id: 1, key: "mo-1", state: "intent", attempts: 2, reason: "timed out", line: '{"id":"i1"}', messageId: "i1" },
  ]);
  expect(store.deliveryHeads("press", 10)).toEqual([]);
  expect(store.depth().deliveries).toMatchObject({ waiting: 2, unknown: 1, parked: 0 });
  expect(deadLettersIn(store)).toMatchObject([{ code: "INPUT_NOT_JSON", body: new TextEncoder().encode("not json") }]);
  expect(store.cursor("downlink")).toBe('{"epoch":"e","sequence":2}');
  const marker = { client: "floor/t1", packetId: 7, ...(version < 3 ? {} : { content: "hash" }) };
  expect(store.commit([{ marker, messages: [{ lane: "transaction", line: "again" }] }])).toMatchObject([{ repeats: 1 }]);
  expect(store.commit([{ messages: [{ lane: "transaction", line: '{"id":"t4"}' }] }])).toMatchObject([{ appended: 1 }]);
  expect(linesIn(store, "transaction")).toEqual(['{"id":"t3"}', '{"id":"t4"}']);
  expect(store.database.prepare("SELECT lane, epoch FROM lanes ORDER BY lane").all()).toEqual(epochs);
  expect(store.database.prepare("SELECT value FROM meta WHERE name = 'format'").get()).toEqual({ value: String(formatVersion) });
  store.close();
});

it("knows the repeats of a file of version 1", () => {
  using folder = temporaryFolder();
  copyFileSync(golden(1), join(folder.path, "queue.sqlite"));
  const store = openStore(folder.path);
  const repeat = { key: "picks\nmfg.pick.confirmed.v1\nX-1", hash: "0".repeat(64) };
  expect(store.commit([{ messages: [{ lane: "transaction", line: "other", repeat }] }])).toMatchObject([
    { appended: 0, conflicts: [expect.any(String)] },
  ]);
  store.close();
});

it("finishes a migration that was interrupted while frames were moved", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  copyFileSync(golden(1), path);
  openStore(folder.path).close();
  const db = new DatabaseSync(path);
  db.exec(`CREATE TABLE old_frames (position INTEGER PRIMARY KEY, count INTEGER, recorded_at INTEGER, chain BLOB, events BLOB, inputs BLOB);
    INSERT INTO old_frames SELECT position, count, recorded_at, chain, events, inputs FROM frames WHERE position > 3 * (1 << 48);
    DELETE FROM frames WHERE position > 3 * (1 << 48);`);
  db.close();
  const store = openStore(folder.path);
  expect(linesIn(store, "telemetry")).toEqual(['{"id":"s1"}', '{"id":"s2"}', '{"id":"s3"}']);
  expect(store.database.prepare("SELECT name FROM sqlite_master WHERE name = 'old_frames'").get()).toBeUndefined();
  store.close();
});

it("tells of each frame what it is linked to from the first one on that a file of an older version takes", () => {
  using folder = temporaryFolder();
  copyFileSync(golden(3), join(folder.path, "queue.sqlite"));
  const store = openStore(folder.path);
  store.commit([{ messages: [{ lane: "telemetry", line: '{"id":"s4"}' }] }]);
  const links = store.database
    .prepare("SELECT linked_to, chain FROM frames WHERE position > 3 * (1 << 48) ORDER BY position")
    .all();
  expect(links.map((row) => row.linked_to)).toEqual([null, null, links[1]!.chain]);
  store.close();
});

it("tells a reader what to do with a file of an older version, and changes nothing", () => {
  using folder = temporaryFolder();
  copyFileSync(golden(1), join(folder.path, "queue.sqlite"));
  expect(() => new QueueReader(join(folder.path, "queue.sqlite"))).toThrow("start its gateway once");
});
