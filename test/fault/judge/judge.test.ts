import { describe, expect, it } from "vitest";
import { Book, type Stream } from "../load/book.ts";
import { Judge, type Recorded } from "./judge.ts";

const stream: Stream = { name: "floor", kind: "finished", keys: 2, repeats: true };

function bookOf(count: number, acknowledged: readonly number[]): Book {
  const book = new Book(stream);
  for (let n = 0; n < count; n++) book.publish();
  for (const n of acknowledged) book.acknowledge(n);
  return book;
}

function recorded(n: number, position: number, order = `floor-mo-${n % 2}`): Recorded {
  const event = { type: "mfg.finished-goods.confirmed.v1", partitionkey: order, data: { txnId: `floor-${n}`, moId: order } };
  return { position, site: "lyon", lane: "transaction", epoch: "e", sequence: position, event };
}

function judged(book: Book, ledger: readonly Recorded[]): Judge {
  const judge = new Judge([book]);
  for (const message of ledger) judge.take(message);
  return judge;
}

const clean = { lost: 0, duplicates: 0, reordered: 0, altered: 0 };

describe("the judge of a fault run", () => {
  it("finds nothing where every acknowledged message is recorded once and in order of its key", () => {
    const ledger = [recorded(1, 1), recorded(0, 2), recorded(2, 3), recorded(3, 4)];
    expect(judged(bookOf(4, [0, 1, 2, 3]), ledger).verdict()).toMatchObject({ acknowledged: 4, recorded: 4, ...clean });
  });

  it("lets a message be recorded whose acknowledgement never came, and be missing", () => {
    expect(judged(bookOf(3, [0]), [recorded(0, 1), recorded(2, 2)]).verdict()).toMatchObject(clean);
  });

  it("finds a planted loss", () => {
    const judge = judged(bookOf(3, [0, 1, 2]), [recorded(0, 1), recorded(2, 2)]);
    expect(judge.verdict()).toMatchObject({ ...clean, lost: 1 });
    expect(judge.missing()).toEqual(new Map([["floor", [1]]]));
  });

  it("finds a planted duplicate", () => {
    expect(judged(bookOf(2, [0, 1]), [recorded(0, 1), recorded(1, 2), recorded(0, 3)]).verdict()).toMatchObject({
      ...clean,
      duplicates: 1,
    });
  });

  it("finds two messages of one key that were swapped", () => {
    expect(
      judged(bookOf(4, [0, 1, 2, 3]), [recorded(2, 1), recorded(0, 2), recorded(1, 3), recorded(3, 4)]).verdict(),
    ).toMatchObject({
      ...clean,
      reordered: 1,
    });
  });

  it("finds a message under another key and one that nobody sent", () => {
    const judge = judged(bookOf(2, [0]), [recorded(0, 1), recorded(1, 2, "floor-mo-0"), recorded(9, 3)]);
    expect(judge.verdict()).toMatchObject({ ...clean, altered: 2 });
  });
});
