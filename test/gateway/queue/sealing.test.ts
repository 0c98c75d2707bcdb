import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { QueueLane } from "../../../gateway/queue/change.ts";
import { damagedBytes } from "../../../gateway/queue/kept-aside.ts";
import { recoverKeys } from "../../../gateway/queue/keystore.ts";
import { QueueReader, type SetAsideRange } from "../../../gateway/queue/read.ts";
import { framePosition, laneEnd, sequenceAt } from "../../../gateway/queue/schema.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { delivery, laneOf, linesIn, openStore, rangesIn } from "../../support/queue-store.ts";

const secret = "secret-of-the-plant";
const sealed = queuePolicy.parse({ encryption: { atRest: true } });
const message = (line: string) => ({
  messages: [{ lane: "transaction" as const, line, input: 0 }],
  inputs: [Buffer.from(`raw ${line}`)],
});
const letter = {
  id: "d1",
  at: 1,
  direction: "in",
  connector: "wms",
  place: "p",
  code: "INPUT_INVALID",
  reason: "r",
  attempts: 0,
} as const;
const everything = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");

it("writes nothing of a message in the clear, and reads it back, also after a restart", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([
    message(secret),
    { newDeliveries: [delivery({ line: secret })], deadLetters: [{ ...letter, body: Buffer.from(secret) }] },
  ]);
  expect(linesIn(store)).toEqual([secret]);
  expect(everything(folder.path)).not.toContain(secret);
  store.close();
  expect(everything(folder.path)).not.toContain(secret);
  const again = openStore(folder.path);
  expect(linesIn(again)).toEqual([secret]);
  expect(again.deliveryHeads("wms", 1)[0]!.line).toBe(secret);
  const [frame] = again.frames("transaction", 0, { frames: 1, bytes: 1e6, inputs: true });
  expect(Buffer.from(frame!.inputs!).length).toBeGreaterThan(0);
  again.close();
  using reader = new QueueReader(join(folder.path, "queue.sqlite"));
  expect([...reader.messages("transaction")].map((found) => found.line)).toEqual([secret]);
  expect(Buffer.from(reader.deadLetters.find("d1")!.body).toString()).toBe(secret);
});

it("reads what was written before it was switched on, and after the key was changed, without rewriting anything", () => {
  using folder = temporaryFolder();
  let now = 1_700_000_000_000;
  const store = openStore(folder.path, { now: () => now });
  const row = (sequence: number) =>
    store.database.prepare("SELECT key, events FROM frames WHERE position = ?").get(framePosition("transaction", sequence));
  store.commit([message("plain")]);
  const plain = row(1);
  store.configure(sealed);
  store.commit([message("first key")]);
  const first = row(2);
  now += 91 * 86_400_000;
  store.configure(sealed);
  store.commit([message("second key")]);
  const keys = store.database.prepare("SELECT DISTINCT data_key FROM sealing_keys").all();
  expect(keys).toHaveLength(2);
  expect(linesIn(store)).toEqual(["plain", "first key", "second key"]);
  expect([row(1), row(2)]).toEqual([plain, first]);
  store.close();
});

it("goes on with the key it has when a new one is due and cannot be written, and makes it later", () => {
  using folder = temporaryFolder();
  let now = 1_700_000_000_000;
  const store = openStore(folder.path, { now: () => now });
  const delayed: string[] = [];
  store.onKeyDelayed = (reason) => delayed.push(reason);
  store.configure(sealed);
  store.commit([message("first key")]);
  // the file that a new key is written to first
  const blocked = join(folder.path, "keystore", "keys.json.new");
  mkdirSync(blocked);
  now += 91 * 86_400_000;
  store.commit([message("overdue")]);
  store.commit([message("overdue still")]);
  expect(store.database.prepare("SELECT DISTINCT data_key FROM sealing_keys").all()).toHaveLength(1);
  expect(delayed).toHaveLength(1);
  rmSync(blocked, { recursive: true });
  now += 61_000;
  store.commit([message("second key")]);
  expect(store.database.prepare("SELECT DISTINCT data_key FROM sealing_keys").all()).toHaveLength(2);
  expect(linesIn(store)).toEqual(["first key", "overdue", "overdue still", "second key"]);
  store.close();
});

it("leaves a keystore that it cannot open as it is when it only looks into a folder", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([message("plain")]);
  store.configure(sealed);
  store.commit([message("locked")]);
  store.close();
  const wrapping = join(folder.path, "keystore", "wrapping.key");
  renameSync(wrapping, `${wrapping}.away`);
  const before = readdirSync(join(folder.path, "keystore"));
  const look = (): string[] => {
    using reader = new QueueReader(join(folder.path, "queue.sqlite"));
    return [...reader.messages("transaction")].map((found) => found.line);
  };
  expect(look()).toEqual(["plain"]);
  expect(readdirSync(join(folder.path, "keystore"))).toEqual(before);
  renameSync(`${wrapping}.away`, wrapping);
  expect(look()).toEqual(["plain", "locked"]);
});

it("uses a subkey of its own each time the file is opened, so that a copy that runs on repeats no nonce", () => {
  using folder = temporaryFolder();
  for (let n = 0; n < 2; n++) {
    const store = openStore(folder.path);
    store.configure(sealed);
    store.commit([message("same")]);
    store.close();
  }
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  const salts = db.prepare("SELECT hex(salt) AS salt FROM sealing_keys").all();
  expect(new Set(salts.map(({ salt }) => salt)).size).toBe(2);
  db.close();
});

it("binds a sealed frame to its place: moved to another, it is damage", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  for (const line of ["a", "b", "c"]) store.commit([{ messages: [{ lane: "transaction", line }] }]);
  const at = (sequence: number) => framePosition("transaction", sequence);
  store.database.exec(
    `UPDATE frames SET events = (SELECT events FROM frames WHERE position = ${at(1)}) WHERE position = ${at(2)}`,
  );
  expect(rangesIn(store, "transaction")).toEqual(["1-1", "2-2 damaged", "3-3"]);
  store.close();
});

it("keeps what is sealed with a missing key, reports the range, and goes on", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([message("plain")]);
  store.configure(sealed);
  store.commit([message("locked")]);
  store.close();
  renameSync(join(folder.path, "keystore"), join(folder.path, "elsewhere"));
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-1", "2-2 locked"]);
  expect(after.database.prepare("SELECT reason FROM set_aside").all()).toEqual([{ reason: "locked" }]);
  after.configure(sealed);
  after.commit([message("new key")]);
  expect(linesIn(after)).toEqual(["plain", "new key"]);
  after.close();
});

it("seals again what goes into a new epoch", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([message("a")]);
  store.commit([message("b")]);
  store.openEpoch("transaction");
  expect(laneOf(store, "transaction").predecessor).toMatchObject({ lastSequence: 0 });
  expect(linesIn(store)).toEqual(["a", "b"]);
  store.close();
  rmSync(join(folder.path, "queue.sqlite.mark"));
  const again = openStore(folder.path);
  expect(linesIn(again)).toEqual(["a", "b"]);
  again.close();
});

it("keeps the keystore for its owner alone", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([message("a")]);
  store.close();
  const text = readFileSync(join(folder.path, "keystore", "keys.json"), "utf8");
  expect(JSON.parse(text)).toMatchObject({ version: 1, keys: [{ wrapped: expect.any(String) }] });
  expect(readdirSync(join(folder.path, "keystore")).toSorted()).toEqual(["keys.json", "wrapping.key"]);
});

it.each([
  ["of another version", (stored: { version: number }) => ({ ...stored, version: 2 })],
  ["without its keys", () => ({ version: 1 })],
  ["with a key that has no wrapped form", () => ({ version: 1, keys: [{ id: "a", createdAt: 1 }] })],
  ["that is empty", () => null],
])("does not start on a keystore %s, and leaves it as it is", (_, change) => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([message("a")]);
  store.close();
  const file = join(folder.path, "keystore", "keys.json");
  const written = JSON.stringify(change(JSON.parse(readFileSync(file, "utf8"))));
  writeFileSync(file, written);
  expect(() => openStore(folder.path)).toThrow(expect.objectContaining({ code: "DISK_FAILED" }));
  expect(readFileSync(file, "utf8")).toBe(written);
});

it("forgets a subkey whose first write found no room, so that what is written next can be read", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([message("plain")]);
  const pages = store.database.prepare("PRAGMA page_count").get()!.page_count as number;
  store.database.exec(`PRAGMA max_page_count = ${pages}`);
  store.configure(sealed);
  const large = randomBytes(100_000).toString("base64");
  expect(() => store.commit([message(large)])).toThrow(expect.objectContaining({ code: "QUEUE_FULL" }));
  store.database.exec("PRAGMA max_page_count = 100000");
  store.commit([message("after")]);
  store.close();
  const again = openStore(folder.path);
  expect(linesIn(again)).toEqual(["plain", "after"]);
  again.close();
});

it("opens with the recovery key what the folder's own key does not open any more", () => {
  using folder = temporaryFolder();
  const recovery = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = (key: typeof recovery.privateKey): string => key.export({ type: "pkcs8", format: "pem" }) as string;
  mkdirSync(join(folder.path, "keystore"));
  writeFileSync(join(folder.path, "keystore", "recovery.pem"), recovery.publicKey.export({ type: "spki", format: "pem" }));
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([message("kept")]);
  store.close();
  rmSync(join(folder.path, "keystore", "wrapping.key"));
  const without = openStore(folder.path);
  expect(without.lockedKeys).toMatch(/keys\.locked-\d+\.json$/);
  without.close();
  expect(() => recoverKeys(folder.path, pem(other.privateKey))).toThrow("not the private half");
  expect(recoverKeys(folder.path, pem(recovery.privateKey))).toBe(1);
  const again = openStore(folder.path);
  expect(linesIn(again)).toEqual(["kept"]);
  again.close();
});

it("shows what was set aside as locked once its key is recovered, although its range stays a hole", () => {
  using folder = temporaryFolder();
  const recovery = generateKeyPairSync("rsa", { modulusLength: 2048 });
  mkdirSync(join(folder.path, "keystore"));
  writeFileSync(join(folder.path, "keystore", "recovery.pem"), recovery.publicKey.export({ type: "spki", format: "pem" }));
  const store = openStore(folder.path);
  store.configure(sealed);
  store.commit([message("kept"), message("as well")]);
  store.close();
  rmSync(join(folder.path, "keystore", "wrapping.key"));
  const without = openStore(folder.path);
  expect(linesIn(without)).toEqual([]);
  const looked = (): readonly SetAsideRange[] => {
    using reader = new QueueReader(join(folder.path, "queue.sqlite"));
    return [...reader.setAside()];
  };
  const range = { lane: "transaction", first: 1, count: 2, reason: "locked" };
  expect(looked()).toMatchObject([{ ...range, lines: undefined }]);
  without.close();
  recoverKeys(folder.path, recovery.privateKey.export({ type: "pkcs8", format: "pem" }) as string);
  expect(looked()).toMatchObject([{ ...range, lines: ["kept", "as well"] }]);
});

it("keeps so much of what was set aside, and no more: the newest", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const before = store.database.prepare(
    "INSERT INTO set_aside VALUES (?, 1, 0, 'damaged', ?, x'00', NULL, zeroblob(9000000), NULL)",
  );
  for (let at = 1; at <= 10; at++) before.run(framePosition("bulk", at), at);
  store.commit([message("new")]);
  store.database.exec("UPDATE frames SET events = zeroblob(length(events))");
  expect(linesIn(store)).toEqual([]);
  store.maintain();
  store.close();
  using reader = new QueueReader(join(folder.path, "queue.sqlite"));
  const kept = [...reader.setAside()];
  expect(kept.map(({ lane, first }) => `${lane} ${first}`)).toEqual([
    "transaction 1",
    ...[4, 5, 6, 7, 8, 9, 10].map((at) => `bulk ${at}`),
  ]);
  expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(damagedBytes);
});

/** Ranges of 9 MB each, as if they had been set aside before. */
function putAside(store: QueueStore, lane: QueueLane, reason: "locked" | "damaged", count: number): void {
  const insert = store.database.prepare("INSERT INTO set_aside VALUES (?, 7, 0, ?, ?, x'00', NULL, zeroblob(9000000), NULL)");
  for (let n = 0; n < count; n++) insert.run(framePosition(lane, 1 + 7 * n), reason, 1000 - n);
}
const firstsIn = (store: QueueStore, lane: QueueLane): number[] =>
  store.database
    .prepare("SELECT position FROM set_aside WHERE position BETWEEN ? AND ? ORDER BY position")
    .all(framePosition(lane, 0), laneEnd(lane))
    .map(({ position }) => sequenceAt(position as number));

it("keeps all that is locked, however much, beside what is damaged, until its lane's budget is used up", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const gone: unknown[] = [];
  store.onSetAsideDiscarded = (each) => gone.push(each);
  putAside(store, "transaction", "locked", 9);
  putAside(store, "bulk", "damaged", 9);
  while (store.maintain());
  expect(firstsIn(store, "transaction")).toEqual([1, 8, 15, 22, 29, 36, 43, 50, 57]);
  // of damaged ones the oldest by when they were found go
  expect(firstsIn(store, "bulk")).toEqual([1, 8, 15, 22, 29, 36, 43]);
  expect(gone).toEqual([{ lane: "bulk", reason: "damaged", count: 14, bytes: 18_000_000 }]);
  const budget = { transaction: { maxBytes: "20MiB" } } as const;
  store.configure(queuePolicy.parse({ lanes: budget }));
  while (store.maintain());
  // of locked ones the oldest messages
  expect(firstsIn(store, "transaction")).toEqual([50, 57]);
  expect(gone[1]).toEqual({ lane: "transaction", reason: "locked", count: 49, bytes: 63_000_000 });
  expect(gone).toHaveLength(2);
  store.close();
});

it("bounds what is locked while the gateway runs, and tells that it is gone", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.configure(sealed);
  for (let n = 0; n < 4; n++) store.commit([{ messages: [{ lane: "bulk", line: randomBytes(600_000).toString("base64") }] }]);
  store.close();
  renameSync(join(folder.path, "keystore"), join(folder.path, "elsewhere"));
  const after = openStore(folder.path);
  const gone: unknown[] = [];
  after.onSetAsideDiscarded = (each) => gone.push(each);
  after.configure(queuePolicy.parse({ lanes: { bulk: { maxBytes: "2MiB" } } }));
  after.maintain();
  expect(rangesIn(after, "bulk")).toEqual(["1-4 locked"]);
  while (after.maintain());
  expect(firstsIn(after, "bulk")).toEqual([2, 3, 4]);
  expect(gone).toMatchObject([{ lane: "bulk", reason: "locked", count: 1 }]);
  expect(rangesIn(after, "bulk")).toEqual(["1-4 locked"]);
  after.close();
});
