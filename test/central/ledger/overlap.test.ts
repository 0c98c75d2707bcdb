import { expect, it } from "vitest";
import { type BatchEntry, chainNext, parseEntries } from "../../../central/ledger/batch.ts";
import { type EpochState, judgeOverlap, walkChain } from "../../../central/ledger/overlap.ts";

const genesis = "00".repeat(32);

/** Frames of so many messages each, from sequence 10 on, of two bytes each in the body. */
function history(counts: readonly number[]) {
  const body = Buffer.from(counts.flatMap((_, index) => [index, index]));
  const entries: BatchEntry[] = counts.map((count) => ({ kind: "frame", count, bytes: 2 }));
  const chains = new Map([[9, genesis]]);
  walkChain({ first: 10, chainBefore: genesis, entries, body }, (sequence, chain) => chains.set(sequence, chain));
  const end = 9 + counts.reduce((sum, count) => sum + count, 0);
  const epoch: EpochState = { first: 10, watermark: end, chain: chains.get(end) as string };
  return { epoch, chainAt: (sequence: number) => chains.get(sequence) };
}

/** A batch of the given entries and body whose chain goes on with `before`. */
function batch(firstSequence: number, before: string, header: string, body: Buffer) {
  const entries = parseEntries(header) as BatchEntry[];
  let [chain, offset] = [before, 0];
  for (const entry of entries) {
    if (entry.kind === "hole") chain = entry.chain;
    else {
      const bytes = body.subarray(offset, offset + entry.bytes);
      chain = chainNext(Buffer.from(chain, "hex"), bytes).toString("hex");
      offset += entry.bytes;
    }
  }
  const count = entries.reduce((sum, entry) => sum + entry.count, 0);
  const head = {
    site: "a",
    lane: "telemetry",
    session: "s",
    epoch: "e",
    firstSequence,
    count,
    chain,
    entries,
    ageMs: 0,
  } as const;
  return [head, body] as const;
}

it("takes what goes on with the recorded chain, and drops what is recorded already", () => {
  const { epoch, chainAt } = history([2, 3]);
  const body = Buffer.from([0, 0, 1, 1, 7, 7]);
  const judged = judgeOverlap(...batch(10, genesis, "2/2,3/2,4/2", body), epoch, chainAt);
  expect(judged).toMatchObject({ kind: "fresh", fresh: { first: 15, last: 18, count: 4, bodyOffset: 4, bodyBytes: 2 } });
  expect(judgeOverlap(...batch(10, genesis, "2/2,3/2", body.subarray(0, 4)), epoch, chainAt)).toEqual({ kind: "known" });
});

it("calls a frame a fork that begins in what is recorded and ends behind it: its messages would be recorded twice", () => {
  const { epoch, chainAt } = history([2, 3]);
  const cut = batch(12, chainAt(11) as string, "5/2", Buffer.from([7, 7]));
  expect(judgeOverlap(...cut, epoch, chainAt)).toEqual({ kind: "fork" });
});

it("calls a batch a fork that begins before its epoch, also with a hole", () => {
  const { epoch, chainAt } = history([2, 3]);
  const before = batch(5, genesis, `12~age~${"ab".repeat(32)}`, Buffer.alloc(0));
  expect(judgeOverlap(...before, epoch, chainAt)).toEqual({ kind: "fork" });
});

it("takes of a hole over recorded messages what lies behind them, under the chain that it names", () => {
  const { epoch, chainAt } = history([2, 3]);
  const chain = "ab".repeat(32);
  const hole = batch(12, chainAt(11) as string, `10~age~${chain}`, Buffer.alloc(0));
  expect(judgeOverlap(...hole, epoch, chainAt)).toMatchObject({
    kind: "fresh",
    fresh: { first: 15, last: 21, chain, count: 0, holes: [{ first: 15, last: 21, reason: "age" }] },
  });
});

it("calls another history of the recorded numbers a fork, and what begins behind a gap a gap", () => {
  const { epoch, chainAt } = history([2, 3]);
  expect(judgeOverlap(...batch(10, genesis, "2/2", Buffer.from([8, 8])), epoch, chainAt)).toEqual({ kind: "fork" });
  expect(judgeOverlap(...batch(15, genesis, "2/2", Buffer.from([8, 8])), epoch, chainAt)).toEqual({ kind: "fork" });
  expect(judgeOverlap(...batch(15, epoch.chain, "2/2", Buffer.from([8, 8])), epoch, chainAt)).toMatchObject({ kind: "fresh" });
  expect(judgeOverlap(...batch(16, genesis, "2/2", Buffer.from([8, 8])), epoch, chainAt)).toEqual({ kind: "gap" });
});
