import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { StoredFrame } from "../../../gateway/queue/change.ts";
import { noteFailure } from "../../../gateway/queue/damage.ts";
import { framePosition } from "../../../gateway/queue/schema.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { chainNext } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hash, laneOf, messagesIn, openStore, rangesIn } from "../../support/queue-store.ts";

const line = (n: number): string => `${n}:${Array.from({ length: 20 }, (_, index) => hash(`${n}/${index}`)).join("")}`;
const append = (store: QueueStore, from: number, to: number): void => {
  for (let n = from; n <= to; n++) store.commit([{ messages: [{ lane: "transaction", line: line(n) }] }]);
};
/** Everything that is there is what was written, at its place. */
const expectTrue = (store: QueueStore): void => {
  for (const [sequence, text] of messagesIn(store, "transaction")) expect(text).toBe(line(sequence));
};
const flip = (file: string, offset: number): void => {
  const handle = openSync(file, "r+");
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, offset);
  writeSync(handle, Buffer.from([byte[0]! ^ 0x10]), 0, 1, offset);
  closeSync(handle);
};

it("finds a frame whose bytes changed, puts a hole in its place and goes on behind it", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 10);
  const position = framePosition("transaction", 4);
  const events = Buffer.from(
    store.database.prepare("SELECT events FROM frames WHERE position = ?").get(position)!.events as Uint8Array,
  );
  events[events.length - 5]! ^= 1;
  store.database.prepare("UPDATE frames SET events = ? WHERE position = ?").run(events, position);
  const told: unknown[] = [];
  store.onSetAside = (fault) => told.push(fault);
  expect(rangesIn(store, "transaction")).toEqual(["1-3", "4-4 damaged", "5-10"]);
  expect(told).toEqual([{ lane: "transaction", first: 4, count: 1, kind: "frame", reason: "damaged" }]);
  expect(store.database.prepare("SELECT reason, events FROM set_aside").all()).toEqual([
    { reason: "damaged", events: new Uint8Array(events) },
  ]);
  append(store, 11, 11);
  expectTrue(store);
  store.close();
});

it("mends a value of the chain that changed while its frame did not", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 5);
  const position = framePosition("transaction", 2);
  const before = store.database.prepare("SELECT chain FROM frames WHERE position = ?").get(position);
  store.database.prepare("UPDATE frames SET chain = zeroblob(32) WHERE position = ?").run(position);
  expect(rangesIn(store, "transaction")).toEqual(["1-5"]);
  expect(store.database.prepare("SELECT chain FROM frames WHERE position = ?").get(position)).toEqual(before);
  store.close();
});

/** Frames as central judges them: each linked to the one before, a hole as it says. */
const expectLinked = (frames: readonly StoredFrame[], before: string): void => {
  let chain = before;
  for (const frame of frames) {
    if (frame.hole === undefined) expect(chainNext(Buffer.from(chain, "hex"), frame.events).toString("hex")).toBe(frame.chain);
    chain = frame.chain;
  }
};
/** As a file has them that an older version wrote. */
const forgetLinks = (store: QueueStore): void => store.database.exec("UPDATE frames SET linked_to = NULL");
const remove = (store: QueueStore, ...sequences: number[]): void => {
  for (const sequence of sequences)
    store.database.prepare("DELETE FROM frames WHERE position = ?").run(framePosition("transaction", sequence));
};
const harm = (store: QueueStore, sequence: number): void => {
  const position = framePosition("transaction", sequence);
  store.database.prepare("UPDATE frames SET chain = zeroblob(32), events = x'00' WHERE position = ?").run(position);
};
const all = { frames: 1000, bytes: 1e9 };

it("reports a row that is missing between others, and rewrites nothing of what stands behind it", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 40);
  const rows = (): unknown[] => store.database.prepare("SELECT position, chain FROM frames WHERE hole IS NULL").all();
  remove(store, 3, 4);
  const before = rows();
  const changes = (): number => store.database.prepare("SELECT total_changes() AS n").get()!.n as number;
  const changed = changes();
  expect(rangesIn(store, "transaction")).toEqual(["1-2", "3-4 damaged", "5-40"]);
  // the hole and the lane's own row
  expect(changes() - changed).toBe(2);
  expect(rows()).toEqual(before);
  expectLinked(store.frames("transaction", 0, all), laneOf(store, "transaction").epochChain);
  append(store, 41, 41);
  expectTrue(store);
  store.close();
});

it.each([
  ["as it tells what it is linked to", () => {}],
  ["also of an older version's file", forgetLinks],
])("takes no frame for damaged that is whole behind a gap before what central has, %s", (_, prepare) => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 8);
  const { epoch } = laneOf(store, "transaction");
  store.commit([{ acknowledged: { lane: "transaction", epoch, watermark: 5 }, control: true }]);
  prepare(store);
  remove(store, 2);
  const told: unknown[] = [];
  store.onSetAside = ({ first, count, kind }) => told.push({ kind, first, count });
  // whoever dispatches is behind central, and finds the gap; then central finds a fork, for whatever reason
  expect(rangesIn(store, "transaction")).toEqual(["1-1", "2-2 damaged", "3-8"]);
  store.openEpoch("transaction");
  const { frames } = store.next("transaction", 5, all);
  expect(frames.map(({ first, hole }) => [first, hole])).toEqual([6, 7, 8].map((first) => [first, undefined]));
  expectLinked(frames, laneOf(store, "transaction").epochChain);
  expect(told).toEqual([{ kind: "missing", first: 2, count: 1 }]);
  append(store, 9, 9);
  expectTrue(store);
  store.close();
});

it("goes on in the same epoch behind a gap that central had acknowledged, with the chain that central has", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 8);
  const { epoch, epochChain } = laneOf(store, "transaction");
  const sent = store.next("transaction", 0, all).frames;
  store.commit([{ acknowledged: { lane: "transaction", epoch, watermark: 5 }, control: true }]);
  remove(store, 4, 5);
  expect(rangesIn(store, "transaction")).toEqual(["1-3", "4-5 damaged", "6-8"]);
  expect(store.next("transaction", 5, all).frames.map(({ chain }) => chain)).toEqual(sent.slice(5).map(({ chain }) => chain));
  expectLinked(store.next("transaction", 0, all).frames, epochChain);
  store.close();
});

it("loses one frame with its value of the chain, not the whole one behind it", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 6);
  harm(store, 3);
  expect(rangesIn(store, "transaction")).toEqual(["1-2", "3-3 damaged", "4-6"]);
  expectLinked(store.frames("transaction", 0, all), laneOf(store, "transaction").epochChain);
  store.close();
});

it("reads on behind a frame whose value of the chain changed, when it begins there", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 6);
  store.database.prepare("UPDATE frames SET chain = zeroblob(32) WHERE position = ?").run(framePosition("transaction", 3));
  expect(store.frames("transaction", 3, all).map(({ hole }) => hole)).toEqual([undefined, undefined, undefined]);
  expect(rangesIn(store, "transaction")).toEqual(["1-6"]);
  store.close();
});

it("mends what a lane says of the chain before its first frame by what that is linked to", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 6);
  store.commit([
    { acknowledged: { lane: "transaction", epoch: laneOf(store, "transaction").epoch, watermark: 3 }, control: true },
  ]);
  store.close();
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  db.exec("UPDATE lanes SET acknowledged_chain = zeroblob(32) WHERE lane = 'transaction'");
  db.close();
  const after = openStore(folder.path);
  after.openEpoch("transaction");
  const { frames } = after.next("transaction", 3, all);
  expect(frames.map(({ first, hole }) => [first, hole])).toEqual([4, 5, 6].map((first) => [first, undefined]));
  expectLinked(frames, laneOf(after, "transaction").epochChain);
  after.close();
});

it("links what follows anew where an older version's frames do not tell what they are linked to, over other gaps as well", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 12);
  forgetLinks(store);
  append(store, 13, 14);
  remove(store, 3, 7, 8, 11);
  expect(rangesIn(store, "transaction")).toEqual(["1-2", "3-3 damaged", "4-6", "7-8 damaged", "9-10", "11-11 damaged", "12-14"]);
  expectLinked(store.frames("transaction", 0, all), laneOf(store, "transaction").epochChain);
  append(store, 15, 15);
  expectTrue(store);
  store.close();
});

it("says the lane's own value of the chain in a hole at its end", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 6);
  remove(store, 5, 6);
  expect(rangesIn(store, "transaction")).toEqual(["1-4", "5-6 damaged"]);
  append(store, 7, 7);
  expectLinked(store.frames("transaction", 0, all), laneOf(store, "transaction").epochChain);
  expect(messagesIn(store, "transaction").at(-1)).toEqual([7, line(7)]);
  store.close();
});

it("reports a row that is missing between others, in a file of an older version", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 6);
  forgetLinks(store);
  remove(store, 3, 4);
  expect(rangesIn(store, "transaction")).toEqual(["1-2", "3-4 damaged", "5-6"]);
  expectTrue(store);
  store.close();
});

it.each([
  ["cut off", (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2))],
  ["damaged in the middle", (file: string) => flip(file, Math.floor(statSync(file).size / 2))],
  ["gone", (file: string) => truncateSync(file, 0)],
])("gives no number twice when the log of what was flushed is %s: the range is reported", (_, harm) => {
  using folder = temporaryFolder();
  using copy = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 40);
  // as a crash leaves it: neither closed nor moved into the main file
  for (const name of readdirSync(folder.path))
    if (name !== "reserve") copyFileSync(join(folder.path, name), join(copy.path, name));
  store.close();
  harm(join(copy.path, "queue.sqlite-wal"));
  const after = openStore(copy.path);
  const told = after.found.lost.map(({ lane, first, count }) => ({ lane, first, count }));
  after.onSetAside = ({ lane, first, count = 0 }) => told.push({ lane, first, count });
  const found = messagesIn(after, "transaction").length;
  expect(found).toBeLessThan(40);
  expect(told).toEqual([{ lane: "transaction", first: found + 1, count: 40 - found }]);
  expect(rangesIn(after, "transaction").at(-1)).toBe(`${found + 1}-40 damaged`);
  append(after, 41, 41);
  expect(messagesIn(after, "transaction").at(-1)).toEqual([41, line(41)]);
  expectTrue(after);
  after.close();
});

it("takes no mark for more than it is: one that was not written whole says nothing", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 3);
  store.close();
  const file = join(folder.path, "queue.sqlite.mark");
  const mark = readFileSync(file);
  mark[40]! ^= 1;
  writeFileSync(file, mark);
  const after = openStore(folder.path);
  expect(after.found.lost).toEqual([]);
  expect(rangesIn(after, "transaction")).toEqual(["1-3"]);
  after.close();
});

/** Offsets of pages of the file, by what they hold. */
function pages(path: string): Map<string, number[]> {
  const db = new DatabaseSync(path, { readOnly: true });
  const size = db.prepare("PRAGMA page_size").get()!.page_size as number;
  const found = new Map<string, number[]>();
  for (const { name, rootpage } of db.prepare("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0").all()) {
    found.set(name as string, [((rootpage as number) - 1) * size]);
  }
  db.close();
  return found;
}

it.each([
  ["the first page", () => 0, false],
  ["the root of the frames", (path: string) => pages(path).get("frames")![0]!, true],
  ["the lanes", (path: string) => pages(path).get("lanes")![0]!, true],
])("sets a file aside when %s is overwritten, and carries over what can be read", (_, offsetOf, _readable) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 300);
  store.commit([{ cursors: [{ name: "downlink", value: "7" }] }]);
  const { epoch } = laneOf(store, "transaction");
  store.close();
  const offset = offsetOf(path);
  const handle = openSync(path, "r+");
  writeSync(handle, Buffer.alloc(4096, 0xaa), 0, 4096, offset);
  closeSync(handle);
  // the damage may show at opening or at the first read: as the worker does, the file is opened once more then
  const open = (): QueueStore => {
    const opened = openStore(folder.path);
    try {
      rangesIn(opened, "transaction");
      return opened;
    } catch {
      opened.close();
      writeFileSync(`${path}.damaged`, "");
      return openStore(folder.path);
    }
  };
  const after = open();
  expect(existsSync(join(folder.path, "damaged"))).toBe(true);
  const ranges = rangesIn(after, "transaction");
  // every number is accounted for, in messages or in holes
  const last = Number(ranges.at(-1)?.split(" ")[0]?.split("-")[1] ?? laneOf(after, "transaction").last);
  expect(last).toBe(300);
  expectTrue(after);
  append(after, 301, 301);
  expect(messagesIn(after, "transaction").at(-1)).toEqual([301, line(301)]);
  const position = after.position("transaction");
  if (position.epoch !== epoch) expect(laneOf(after, "transaction").predecessor?.epoch).toBe(epoch);
  after.close();
});

it("finds a count that changed by what follows, mends it, and invents no hole", () => {
  for (const by of [-2, 3]) {
    using folder = temporaryFolder();
    const store = openStore(folder.path);
    for (let n = 1; n <= 41; n += 10)
      store.commit([
        { messages: Array.from({ length: 10 }, (_, index) => ({ lane: "transaction" as const, line: line(n + index) })) },
      ]);
    for (const first of [11, 41])
      store.database
        .prepare("UPDATE frames SET count = count + ? WHERE position = ?")
        .run(by, framePosition("transaction", first));
    expect(rangesIn(store, "transaction")).toEqual(["1-50"]);
    expectTrue(store);
    store.close();
  }
});

it("takes a row out that lies where another one is", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  for (let n = 1; n <= 21; n += 10)
    store.commit([
      { messages: Array.from({ length: 10 }, (_, index) => ({ lane: "transaction" as const, line: line(n + index) })) },
    ]);
  const at = framePosition("transaction", 15);
  store.database.exec(
    `INSERT INTO frames SELECT ${at}, count, recorded_at, run_at, chain, hole, key, events, inputs, linked_to FROM frames WHERE position = ${framePosition("transaction", 1)}`,
  );
  expect(rangesIn(store, "transaction")).toEqual(["1-30"]);
  expectTrue(store);
  store.close();
});

it("does not hide damage when it links frames anew", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 8);
  const position = framePosition("transaction", 6);
  const events = Buffer.from(
    store.database.prepare("SELECT events FROM frames WHERE position = ?").get(position)!.events as Uint8Array,
  );
  events[events.length - 6]! ^= 1;
  store.database.prepare("UPDATE frames SET events = ? WHERE position = ?").run(events, position);
  store.database.prepare("DELETE FROM frames WHERE position = ?").run(framePosition("transaction", 2));
  expect(rangesIn(store, "transaction")).toEqual(["1-1", "2-2 damaged", "3-5", "6-6 damaged", "7-8"]);
  expectTrue(store);
  store.close();
});

it("mends a next sequence that does not fit the frames, and gives no number twice", () => {
  for (const by of [-3, 1000]) {
    using folder = temporaryFolder();
    const store = openStore(folder.path);
    append(store, 1, 10);
    store.close();
    const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
    db.prepare("UPDATE lanes SET next = next + ? WHERE lane = 'transaction'").run(by);
    db.close();
    const after = openStore(folder.path);
    append(after, 11, 11);
    expect(rangesIn(after, "transaction")).toEqual(["1-11"]);
    expectTrue(after);
    after.close();
  }
});

it("mends a lane's value of the chain by its newest frame, so that what is appended behind it is read", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 10);
  store.close();
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  db.exec("UPDATE lanes SET chain = zeroblob(32) WHERE lane = 'transaction'");
  db.close();
  const after = openStore(folder.path);
  append(after, 11, 12);
  expect(rangesIn(after, "transaction")).toEqual(["1-12"]);
  expectTrue(after);
  after.close();
});

it("mends an epoch that is nearly the one of the mark", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 3);
  const { epoch } = laneOf(store, "transaction");
  store.close();
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  const flipped = `${epoch[0] === "0" ? "1" : "0"}${epoch.slice(1)}`;
  db.prepare("UPDATE lanes SET epoch = ? WHERE lane = 'transaction'").run(flipped);
  db.close();
  const after = openStore(folder.path);
  expect(after.position("transaction").epoch).toBe(epoch);
  after.close();
});

it("takes a number that is too large for ours for damage: the next start has a hole there, and goes on", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openStore(folder.path);
  append(store, 1, 5);
  store.database
    .prepare("UPDATE frames SET recorded_at = 9007199254740993 WHERE position = ?")
    .run(framePosition("transaction", 3));
  const read = (): unknown => {
    try {
      return rangesIn(store, "transaction");
    } catch (error) {
      return error;
    }
  };
  noteFailure(path, read());
  store.close();
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-2", "3-3 damaged", "4-5"]);
  after.close();
});

it("starts with what is usual where the policy that it remembers cannot be read", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  append(store, 1, 2);
  store.database.prepare("INSERT INTO meta VALUES ('policy', ?)").run('{"lanes":{');
  store.close();
  const after = openStore(folder.path);
  expect(rangesIn(after, "transaction")).toEqual(["1-2"]);
  after.close();
});

it("puts a frame back whose position changed: no message is missing, and the one behind it stays", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  for (let n = 1; n <= 41; n += 10)
    store.commit([
      { messages: Array.from({ length: 10 }, (_, index) => ({ lane: "transaction" as const, line: line(n + index) })) },
    ]);
  for (const [first, moved] of [
    [21, 23],
    [41, 42],
  ] as const)
    store.database
      .prepare("UPDATE frames SET position = ? WHERE position = ?")
      .run(framePosition("transaction", moved), framePosition("transaction", first));
  expect(rangesIn(store, "transaction")).toEqual(["1-50"]);
  expectTrue(store);
  store.close();
});
