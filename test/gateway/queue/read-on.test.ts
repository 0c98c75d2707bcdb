import { expect, it } from "vitest";
import type { StoredFrame } from "../../../gateway/queue/change.ts";
import { Contradiction } from "../../../gateway/queue/damage.ts";
import type { Reading } from "../../../gateway/queue/frames.ts";
import type { LaneState } from "../../../gateway/queue/lane-state.ts";
import { readOn } from "../../../gateway/queue/read-on.ts";
import { setAside } from "../../../gateway/queue/set-aside.ts";
import { Statements } from "../../../gateway/queue/statements.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { openStore } from "../../support/queue-store.ts";

const frame = (first: number, count: number): StoredFrame => ({
  first,
  count,
  recordedAt: 0,
  events: new Uint8Array(),
  chain: "",
});
const read = (reading: Reading, sequence: number): StoredFrame[] =>
  readOn({ read: () => reading, state: () => ({ pruned: 0, next: 21 }) as LaneState, setAside: () => {} }, sequence);

it("ends when a fault comes again that was dealt with", () => {
  const fault = { kind: "frame", first: 1, count: 1, reason: "damaged" } as const;
  expect(() => read({ frames: [], fault }, 0)).toThrow(Contradiction);
});

it("takes no other frames than the ones behind the sequence, without a gap", () => {
  expect(read({ frames: [frame(4, 7), frame(11, 10)] }, 5)).toHaveLength(2);
  expect(read({ frames: [] }, 20)).toEqual([]);
  for (const [frames, sequence] of [
    [[frame(11, 10)], 5],
    [[frame(1, 5)], 5],
    [[frame(6, 5), frame(12, 9)], 5],
    [[frame(6, 5), frame(6, 5)], 5],
    [[], 19],
  ] as const)
    expect(() => read({ frames: [...frames] }, sequence)).toThrow(Contradiction);
});

it("takes a fault for damage of the tree where what the reader saw is not there", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  for (const line of ["a", "b", "c"]) store.commit([{ messages: [{ lane: "bulk", line }] }]);
  const statements = new Statements(store.database);
  const state = { next: 4, bytes: 0, waitingBytes: 0, acknowledged: 0, chain: Buffer.alloc(32) } as LaneState;
  const deal = (fault: Parameters<typeof setAside>[3]) => (): void =>
    setAside({ statements } as never, "bulk", state, fault, { at: 0, runMs: 0 });
  const reason = "damaged";
  expect(deal({ kind: "frame", first: 9, count: 1, reason })).toThrow(Contradiction);
  expect(deal({ kind: "mend", first: 9, count: 1 })).toThrow(Contradiction);
  expect(deal({ kind: "stray", first: 2, count: 1, reason })).toThrow(Contradiction);
  expect(deal({ kind: "missing", first: 2, count: 1, reason })).toThrow(Contradiction);
  // a gap up to behind the lane's end is none
  expect(deal({ kind: "missing", first: 4, count: 1e9, reason })).toThrow(Contradiction);
  store.close();
});
