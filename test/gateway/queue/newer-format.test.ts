import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import type { DeadLetter } from "../../../gateway/queue/change.ts";
import { type FormatSteps, formatSteps, peekFormat } from "../../../gateway/queue/format.ts";
import { Keystore } from "../../../gateway/queue/keystore.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { formatVersion } from "../../../gateway/queue/schema.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { deadLettersIn, delivery, linesIn, openStore } from "../../support/queue-store.ts";

const next = formatVersion + 1;
/** A later version of the program that adds a column, a table and an index, with which this one can go on. */
const additive: FormatSteps = [
  ...formatSteps,
  {
    to: next,
    readableBy: formatVersion,
    up: (db) =>
      db.exec(`ALTER TABLE frames ADD COLUMN shift TEXT; ALTER TABLE deliveries ADD COLUMN shift TEXT DEFAULT 'night';
        ALTER TABLE dead_letters ADD COLUMN shift TEXT; ALTER TABLE lanes ADD COLUMN shift TEXT;
        ALTER TABLE boots ADD COLUMN shift TEXT; ALTER TABLE acks ADD COLUMN shift TEXT;
        ALTER TABLE markers ADD COLUMN shift TEXT; ALTER TABLE cursors ADD COLUMN shift TEXT; ALTER TABLE held ADD COLUMN shift TEXT;
        ALTER TABLE set_aside ADD COLUMN shift TEXT; ALTER TABLE totals ADD COLUMN shift TEXT; ALTER TABLE meta ADD COLUMN shift TEXT;
        CREATE TABLE shifts (name TEXT PRIMARY KEY) STRICT; INSERT INTO shifts VALUES ('early');
        CREATE INDEX frames_by_shift ON frames (shift) WHERE shift IS NOT NULL`),
  },
];
/** One with which this one cannot, as it says. */
const breaking: FormatSteps = [
  ...formatSteps,
  { to: next, readableBy: next, up: (db) => db.exec("CREATE TABLE shifts (name TEXT) STRICT") },
];

const letter: DeadLetter = {
  ...{ id: "l", at: 1, direction: "in", connector: "wms", place: "p", code: "INPUT_NOT_JSON", reason: "r", attempts: 0 },
  body: Buffer.from("x"),
};
const message = (id: string) => ({ messages: [{ lane: "transaction" as const, line: `{"id":"${id}"}` }] });
const formatIn = (folder: string) => peekFormat(join(folder, "queue.sqlite"));

/** Every file of a folder by what it holds; what SQLite keeps to share a file among processes holds nothing. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const named = files.map(({ parentPath, name }) => join(parentPath, name)).filter((file) => !file.endsWith("-shm"));
  const hashes = named.map((file) => [file, createHash("sha256").update(readFileSync(file)).digest("hex")] as const);
  const empty = createHash("sha256").digest("hex");
  return Object.fromEntries(hashes.filter(([file, hash]) => !(file.endsWith("-wal") && hash === empty)));
}

/** A queue of the later version with messages in it, its log not folded in yet: as a kill leaves it. */
function killedNewer(folder: string, steps: FormatSteps): void {
  openStore(folder).close();
  const db = new DatabaseSync(join(folder, "queue.sqlite"));
  db.exec("PRAGMA journal_mode = WAL; BEGIN");
  steps.at(-1)?.up(db, "lyon");
  db.exec(`UPDATE meta SET value = '${next}' WHERE name = 'format'; COMMIT`);
  for (const ending of ["", "-wal"]) copyFileSync(join(folder, `queue.sqlite${ending}`), join(folder, `kept${ending}`));
  db.close();
  for (const ending of ["", "-wal"]) renameSync(join(folder, `kept${ending}`), join(folder, `queue.sqlite${ending}`));
}

describe("a queue that a newer version wrote", () => {
  it("is refused in one sentence, and not a byte of the folder changes", () => {
    using folder = temporaryFolder();
    killedNewer(folder.path, breaking);
    const before = contents(folder.path);
    expect(Object.keys(before).some((file) => file.endsWith("-wal"))).toBe(true);
    for (let tries = 0; tries < 3; tries++)
      expect(() => openStore(folder.path)).toThrow(
        `the queue has format ${next}; this program knows ${formatVersion}. Use the version that wrote it; nothing was changed`,
      );
    expect(() => new QueueReader(join(folder.path, "queue.sqlite"))).toThrow(`the queue has format ${next}`);
    expect(contents(folder.path)).toEqual(before);
  });

  it("is refused before anything is noted, set aside or salvaged, also where it was found damaged or its keys are locked", () => {
    using folder = temporaryFolder();
    killedNewer(folder.path, breaking);
    new Keystore(folder.path, Date.now).current(1000);
    renameSync(join(folder.path, "keystore/wrapping.key"), join(folder.path, "elsewhere"));
    writeFileSync(join(folder.path, "queue.sqlite.damaged"), "");
    const before = contents(folder.path);
    expect(() => openStore(folder.path)).toThrow("nothing was changed");
    expect(contents(folder.path)).toEqual(before);
  });

  it("is gone on with where it says that this one may, and the newer one reads what was taken meanwhile", () => {
    using folder = temporaryFolder();
    const newer = openStore(folder.path, { steps: additive });
    newer.close();
    // a new file is made in this version's format: brought forward with the next start
    openStore(folder.path, { steps: additive }).close();
    const file = new DatabaseSync(join(folder.path, "queue.sqlite"));
    expect(file.prepare("SELECT name FROM shifts").all()).toEqual([{ name: "early" }]);
    file.close();
    expect(formatIn(folder.path)).toEqual({ format: next, readableBy: formatVersion });

    const older = openStore(folder.path);
    older.commit([
      message("a"),
      { cursors: [{ name: "poll", value: "7" }] },
      { marker: { client: "c", packetId: 1, content: "h" }, messages: [{ lane: "transaction", line: '{"id":"b"}' }] },
      { newDeliveries: [delivery({ target: "t", key: "k", line: '{"id":"d"}', createdAt: 1 })], deadLetters: [letter] },
    ]);
    older.confirm("transaction", 1);
    expect(linesIn(older)).toEqual(['{"id":"a"}', '{"id":"b"}']);
    older.close();
    expect(formatIn(folder.path)).toEqual({ format: next, readableBy: formatVersion });
    using reader = new QueueReader(join(folder.path, "queue.sqlite"));
    expect([...reader.messages("transaction")].map(({ line }) => line)).toEqual(['{"id":"a"}', '{"id":"b"}']);

    const again = openStore(folder.path, { steps: additive });
    expect(linesIn(again)).toEqual(['{"id":"a"}', '{"id":"b"}']);
    expect(again.database.prepare("SELECT name FROM shifts").all()).toEqual([{ name: "early" }]);
    expect(again.deliveryHeads("wms", 10)).toMatchObject([{ line: '{"id":"d"}' }]);
    expect(deadLettersIn(again)).toMatchObject([{ id: "l" }]);
    again.close();
  });

  it("is looked through after a failure by what this version knows of it, and is not taken for damaged", () => {
    using folder = temporaryFolder();
    openStore(folder.path).close();
    const newer = openStore(folder.path, { steps: additive });
    newer.commit([message("a")]);
    newer.close();
    writeFileSync(join(folder.path, "queue.sqlite.doubted"), "");
    const older = openStore(folder.path);
    expect(older.found.salvaged).toBeUndefined();
    expect(linesIn(older)).toEqual(['{"id":"a"}']);
    older.close();
  });
});

describe("a version on trial", () => {
  it("holds back a step that the version before cannot live with, and takes it when it is kept", () => {
    using folder = temporaryFolder();
    const before = openStore(folder.path);
    before.commit([message("a")]);
    before.close();
    const onTrial = openStore(folder.path, { steps: breaking, onTrial: true });
    onTrial.commit([message("b")]);
    onTrial.close();
    expect(formatIn(folder.path)).toEqual({ format: formatVersion, readableBy: formatVersion });
    const back = openStore(folder.path);
    expect(linesIn(back)).toEqual(['{"id":"a"}', '{"id":"b"}']);
    back.close();
    openStore(folder.path, { steps: breaking }).close();
    expect(formatIn(folder.path)).toEqual({ format: next, readableBy: next });
  });

  it("does not make a damaged file anew while a step waits: the version before does", () => {
    using folder = temporaryFolder();
    const before = openStore(folder.path);
    before.commit([message("a")]);
    before.close();
    writeFileSync(join(folder.path, "queue.sqlite.damaged"), "");
    expect(() => openStore(folder.path, { steps: breaking, onTrial: true })).toThrow("on trial");
    const back = openStore(folder.path);
    expect(back.found.salvaged).toBeDefined();
    expect(linesIn(back)).toEqual(['{"id":"a"}']);
    back.close();
  });

  it("takes a step that the version before can go on with, and that one goes on with all of the backlog", () => {
    using folder = temporaryFolder();
    const before = openStore(folder.path);
    before.commit([message("a")]);
    before.close();
    const onTrial = openStore(folder.path, { steps: additive, onTrial: true });
    onTrial.commit([message("b")]);
    onTrial.close();
    expect(formatIn(folder.path)).toEqual({ format: next, readableBy: formatVersion });
    const back = openStore(folder.path);
    expect(linesIn(back)).toEqual(['{"id":"a"}', '{"id":"b"}']);
    back.close();
  });
});

it("looks at a file's format while its gateway writes, and changes nothing", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([message("a")]);
  const before = contents(folder.path);
  expect(formatIn(folder.path)).toEqual({ format: formatVersion, readableBy: formatVersion });
  expect(contents(folder.path)).toEqual(before);
  store.close();
});

it("writes rows by the names of their columns, so that a newer version may add some", () => {
  const sources = join(import.meta.dirname, "../../../gateway/queue");
  const bySequence = readdirSync(sources).flatMap((name) => {
    const text = readFileSync(join(sources, name), "utf8");
    return [...text.matchAll(/INSERT (?:OR REPLACE )?INTO (\w+)\s+(?:VALUES|SELECT)/g)].map(([, table]) => `${name}: ${table}`);
  });
  // into what the same statement, or the same program, made a moment before
  const fresh = ["file.ts: meta", "file.ts: totals", "salvage.ts: meta", "space.ts: filler"];
  expect(bySequence.filter((each) => !fresh.includes(each) && !/^migrate.ts: (lanes|dead_letters)$/.test(each))).toEqual([]);
});
