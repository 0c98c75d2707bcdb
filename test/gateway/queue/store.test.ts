import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Change } from "../../../gateway/queue/change.ts";
import { decodeInputs, decodeLines } from "../../../gateway/queue/frame.ts";
import { chainGenesis, chainNext } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { deadLettersIn, delivery, hash, laneOf, linesIn as lines, messagesIn, openStore } from "../../support/queue-store.ts";

const transaction = (line: string): Change => ({ messages: [{ lane: "transaction", line }] });

it("gives gapless sequences per lane and takes all changes of one flush into one frame", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([transaction("a"), transaction("b"), { messages: [{ lane: "telemetry", line: "s" }] }, transaction("c")]);
  expect(store.frames("transaction", 0, { frames: 10, bytes: 1e6 }).map(({ first, count }) => [first, count])).toEqual([[1, 3]]);
  expect(messagesIn(store, "transaction")).toEqual([
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ]);
  expect(laneOf(store, "telemetry").last).toBe(1);
  store.close();
});

it("goes on with the next sequence and the same epoch after it was opened again", () => {
  using folder = temporaryFolder();
  const first = openStore(folder.path);
  first.commit([transaction("a")]);
  const { epoch } = laneOf(first, "transaction");
  first.close();
  const second = openStore(folder.path);
  second.commit([transaction("b")]);
  expect(laneOf(second, "transaction")).toMatchObject({ epoch, last: 2 });
  expect(lines(second)).toEqual(["a", "b"]);
  expect(second.database.prepare("SELECT count(*) AS n FROM boots").get()!.n).toBe(2);
  second.close();
});

it("keeps each frame's place in the chain, so that other content under the same sequence shows", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([transaction("a")]);
  store.commit([transaction("b")]);
  const frames = store.frames("transaction", 0, { frames: 10, bytes: 1e6 });
  let chain = chainGenesis("lyon", "transaction", laneOf(store, "transaction").epoch);
  for (const frame of frames) {
    chain = chainNext(chain, frame.events);
    expect(frame.chain).toBe(chain.toString("hex"));
  }
  store.close();
});

it("acknowledges a repeat without recording it again, also after a restart and within one flush", () => {
  using folder = temporaryFolder();
  const change = (line: string, content: string): Change => ({
    messages: [{ lane: "transaction", line, repeat: { key: "picks/T-1/1", hash: hash(content) } }],
  });
  const first = openStore(folder.path);
  expect(first.commit([change("a", "x"), change("a again", "x")])).toMatchObject([
    { appended: 1, repeats: 0 },
    { appended: 0, repeats: 1 },
  ]);
  first.close();
  const second = openStore(folder.path);
  expect(second.commit([change("a later", "x")])).toMatchObject([{ appended: 0, repeats: 1 }]);
  expect(lines(second)).toEqual(["a"]);
  second.close();
});

it("keeps the same key with other content as a dead letter with the raw bytes, and the first stands", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const type = "mfg.pick.confirmed.v1";
  const lineOf = (id: string): string => JSON.stringify({ id, type, partitionkey: "mo-1" });
  const change = (id: string, content: string): Change => ({
    messages: [{ lane: "transaction", line: lineOf(id), input: 0, repeat: { key: "picks/T-1/1", hash: hash(content) } }],
    inputs: [Buffer.from(content)],
    from: { connector: "wms", flow: "picks", place: "wms/picks/7/confirmed", receivedAt: 1 },
  });
  store.commit([change("first", "12.5")]);
  const [second] = store.commit([change("second", "99")]);
  expect(second!.conflicts).toHaveLength(1);
  expect(lines(store)).toEqual([lineOf("first")]);
  expect(deadLettersIn(store)).toMatchObject([
    { id: second!.conflicts[0], code: "KEY_CONFLICT", flow: "picks", place: "wms/picks/7/confirmed", type, key: "mo-1" },
  ]);
  expect(Buffer.from(deadLettersIn(store)[0]!.body).toString()).toBe("99");
  store.close();
});

it("takes an exactly-once input once until its packet id is released", () => {
  using folder = temporaryFolder();
  const marker = { client: "floor/t1", packetId: 7 };
  const first = openStore(folder.path);
  first.commit([{ ...transaction("a"), marker }]);
  first.close();
  const second = openStore(folder.path);
  expect(second.commit([{ ...transaction("a"), marker }])).toMatchObject([{ appended: 0, repeats: 1 }]);
  second.commit([{ releaseMarker: marker }]);
  second.commit([{ ...transaction("b"), marker }]);
  expect(lines(second)).toEqual(["a", "b"]);
  second.close();
});

it("takes other content under an exactly-once marker for a new message, and its repeat for one", () => {
  using folder = temporaryFolder();
  const marker = (content: string, packetId = 7) => ({ client: "floor/t1", packetId, content });
  const store = openStore(folder.path);
  store.commit([{ ...transaction("a"), marker: marker("a") }]);
  store.commit([{ ...transaction("other id"), marker: marker("a", 8) }]);
  expect(store.commit([{ ...transaction("b"), marker: marker("b") }])).toMatchObject([{ appended: 1, repeats: 0 }]);
  expect(store.commit([{ ...transaction("b"), marker: marker("b") }])).toMatchObject([{ appended: 0, repeats: 1 }]);
  store.commit([{ releaseMarker: { client: "floor/t1" } }]);
  expect(store.database.prepare("SELECT * FROM markers").all()).toEqual([]);
  store.close();
});

it("keeps the raw input beside the frame, once for all messages of a split", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const inputs = [Buffer.from("raw one"), Buffer.from("raw two")];
  store.commit([
    { messages: [0, 0, 1].map((input, index) => ({ lane: "transaction" as const, line: `m${index}`, input })), inputs },
  ]);
  const row = store.database.prepare("SELECT inputs FROM frames").get()!;
  expect(decodeInputs(row.inputs as Uint8Array).map((input) => input?.toString())).toEqual(["raw one", "raw one", "raw two"]);
  store.close();
});

it("deletes a frame only when central has it and its deliveries are made", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.keepAcknowledged(0);
  store.commit([transaction("a")]);
  store.commit([transaction("b")]);
  const { epoch } = laneOf(store, "transaction");
  store.commit([{ acknowledged: { lane: "transaction", epoch, watermark: 2 } }]);
  expect(lines(store)).toEqual(["a", "b"]);
  store.commit([{ dispatched: { lane: "transaction", upTo: 1 } }]);
  expect(lines(store)).toEqual(["b"]);
  store.commit([{ dispatched: { lane: "transaction", upTo: 2 } }]);
  expect(lines(store)).toEqual([]);
  expect(laneOf(store, "transaction")).toMatchObject({ last: 2, acknowledged: 2, oldestAt: null });
  store.close();
});

it("ignores an acknowledgement of another epoch", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([transaction("a"), { dispatched: { lane: "transaction", upTo: 1 } }]);
  store.commit([{ acknowledged: { lane: "transaction", epoch: "of-another-disk", watermark: 1 } }]);
  expect(laneOf(store, "transaction").acknowledged).toBe(0);
  expect(lines(store)).toEqual(["a"]);
  store.close();
});

it("opens a new epoch after a fork that names its predecessor and keeps sequences and messages", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([transaction("a")]);
  const before = laneOf(store, "transaction").epoch;
  store.commit([{ acknowledged: { lane: "transaction", epoch: before, watermark: 1 } }]);
  store.commit([transaction("b")]);
  store.openEpoch("transaction");
  const lane = laneOf(store, "transaction");
  expect(lane).toMatchObject({ epochFirst: 2, last: 2, predecessor: { epoch: before, lastSequence: 1 } });
  expect(lane.epoch).not.toBe(before);
  const [kept, moved] = store.frames("transaction", 0, { frames: 2, bytes: 1e6 });
  expect(lane.epochChain).toBe(kept!.chain);
  expect(moved!.chain).toBe(chainNext(Buffer.from(kept!.chain, "hex"), moved!.events).toString("hex"));
  store.close();
});

it("shows the first delivery of each key, so that a failing key holds back only its own", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.commit([
    {
      newDeliveries: [
        delivery({ key: "mo-1", line: "1a" }),
        delivery({ key: "mo-1", line: "1b" }),
        delivery({ key: "mo-2", line: "2a" }),
      ],
    },
  ]);
  expect(store.deliveryHeads("wms", 10).map((head) => head.line)).toEqual(["1a", "2a"]);
  const [head] = store.deliveryHeads("wms", 10);
  store.commit([{ doneDeliveries: [head!.id] }]);
  expect(store.deliveryHeads("wms", 10).map((entry) => entry.line)).toEqual(["1b", "2a"]);
  store.close();
});

it("refuses the file of a newer format and leaves it as it is", () => {
  using folder = temporaryFolder();
  openStore(folder.path).close();
  const db = new DatabaseSync(join(folder.path, "queue.sqlite"));
  db.exec("UPDATE meta SET value = '999' WHERE name = 'format'");
  db.close();
  expect(() => openStore(folder.path)).toThrow(expect.objectContaining({ code: "FORMAT_NEWER" }));
  const after = new DatabaseSync(join(folder.path, "queue.sqlite"));
  expect(after.prepare("SELECT count(*) AS n FROM boots").get()!.n).toBe(1);
  after.close();
});

it("refuses the folder of another site", () => {
  using folder = temporaryFolder();
  openStore(folder.path).close();
  const other = () => openStore(folder.path, { site: "porto" });
  expect(other).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

it("writes nothing of any change when one of a group cannot be written", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  store.database.exec("PRAGMA max_page_count = 40");
  const noise = Array.from({ length: 300 }, (_, index) => hash(String(index))).join("");
  expect(() =>
    store.commit([
      transaction("small"),
      ...Array.from({ length: 40 }, (_, index) => transaction(noise + index + hash(noise + index))),
    ]),
  ).not.toThrow();
  let refused: unknown;
  let kept = lines(store).length;
  for (let round = 0; round < 50 && refused === undefined; round++) {
    const random = Array.from({ length: 600 }, (_, index) => hash(`${round}/${index}`)).join("");
    try {
      store.commit([transaction("small"), transaction(random)]);
      kept += 2;
    } catch (error) {
      refused = error;
    }
  }
  expect(refused).toMatchObject({ code: "QUEUE_FULL" });
  expect(lines(store)).toHaveLength(kept);
  store.database.exec("PRAGMA max_page_count = 100000");
  store.commit([transaction("after")]);
  expect(messagesIn(store, "transaction").at(-1)).toEqual([kept + 1, "after"]);
  store.close();
});

it("holds exactly what was committed, in order, for any sequence of changes and restarts", () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("append" as const),
      groups: fc.array(
        fc.array(
          fc.string({ minLength: 1, maxLength: 20 }).map((text) => JSON.stringify(text)),
          { minLength: 1, maxLength: 5 },
        ),
        { minLength: 1, maxLength: 4 },
      ),
    }),
    fc.constant({ kind: "reopen" as const }),
    fc.record({ kind: fc.constant("acknowledge" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      using folder = temporaryFolder();
      let store = openStore(folder.path);
      store.keepAcknowledged(0);
      const model: string[] = [];
      let gone = 0;
      for (const action of steps) {
        if (action.kind === "append") {
          store.commit(action.groups.map((group) => ({ messages: group.map((line) => ({ lane: "transaction", line })) })));
          model.push(...action.groups.flat());
        } else if (action.kind === "reopen") {
          store.close();
          store = openStore(folder.path);
        } else {
          const frames = store.frames("transaction", gone, { frames: 1000, bytes: 1e9 });
          const last = frames[Math.floor(action.share * frames.length) - 1];
          if (!last) continue;
          gone = last.first + last.count - 1;
          store.commit([
            {
              acknowledged: { lane: "transaction", epoch: laneOf(store, "transaction").epoch, watermark: gone },
              dispatched: { lane: "transaction", upTo: gone },
            },
          ]);
        }
      }
      expect(messagesIn(store, "transaction")).toEqual(model.slice(gone).map((line, index) => [gone + index + 1, line]));
      for (const frame of store.frames("transaction", 0, { frames: 1000, bytes: 1e9 }))
        expect(decodeLines(frame.events, frame.count)).toHaveLength(frame.count);
      store.close();
    }),
    { numRuns: 40 },
  );
});

it("takes two messages of one input under one key for a conflict, not for a repeat", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const repeat = { key: "picks/T-1/1", hash: hash("one input") };
  const [committed] = store.commit([
    {
      messages: [
        { lane: "transaction", line: "a", input: 0, repeat },
        { lane: "transaction", line: "b", input: 0, repeat },
      ],
      inputs: [Buffer.from("one input")],
    },
  ]);
  expect(committed).toMatchObject({ appended: 1, repeats: 0, conflicts: [expect.any(String)] });
  expect(lines(store)).toEqual(["a"]);
  store.close();
});
