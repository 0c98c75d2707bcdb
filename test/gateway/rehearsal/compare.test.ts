import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { differencesOf, type MadeMessage, paired } from "../../../gateway/rehearsal/compare.ts";
import { Tally } from "../../../gateway/rehearsal/tally.ts";

const message = (key: string, value: Record<string, unknown> = {}): MadeMessage => ({ key, value });

describe("pairs of messages", () => {
  it("are made by their keys, whatever their order", () => {
    const [a, b] = [message("a"), message("b")];
    expect(paired([a, b], [message("b"), message("a")]).map((pair) => [pair.before?.key, pair.after?.key])).toEqual([
      ["a", "a"],
      ["b", "b"],
    ]);
  });

  it("are made in order of what is left, as the key may be what differs", () => {
    expect(
      paired([message("a"), message("b")], [message("b"), message("x")]).map((pair) => [pair.before?.key, pair.after?.key]),
    ).toEqual([
      ["a", "x"],
      ["b", "b"],
    ]);
  });

  it("hold every message of both sides once", () => {
    const keys = fc.array(fc.constantFrom("a", "b", "c"));
    fc.assert(
      fc.property(keys, keys, (before, after) => {
        const pairs = paired(
          before.map((key) => message(key)),
          after.map((key) => message(key)),
        );
        expect(pairs.flatMap((pair) => pair.before?.key ?? []).sort()).toEqual([...before].sort());
        expect(pairs.flatMap((pair) => pair.after?.key ?? []).sort()).toEqual([...after].sort());
      }),
    );
  });
});

describe("differences", () => {
  it("name a field that was renamed as one that is gone and one that is new", () => {
    const pair = {
      before: message("a", { data: { lot: "L1", qty: 1 } }),
      after: message("a", { data: { serial: "L1", qty: 1 } }),
    };
    expect(differencesOf(pair)).toEqual([
      { path: "data.lot", before: "L1" },
      { path: "data.serial", after: "L1" },
    ]);
  });

  it("count a place in a list once, with its first example", () => {
    const before = message("a", { lines: [{ qty: 1 }, { qty: 2 }, { qty: 3 }] });
    const after = message("a", { lines: [{ qty: 1 }, { qty: 20 }] });
    expect(differencesOf({ before, after })).toEqual([
      { path: "lines[].qty", before: 2, after: 20 },
      { path: "lines[]", before: { qty: 3 } },
    ]);
  });

  it("are none between a value and its own copy", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(differencesOf({ before: message("a", value), after: message("a", structuredClone(value)) })).toEqual([]);
      }),
    );
  });
});

describe("a tally", () => {
  it("stays small whatever it is told: paths beyond its bound count as one, and long examples are cut", () => {
    const tally = new Tally();
    tally.differ(Array.from({ length: 5000 }, (_, index) => ({ path: `data.f${index}`, before: "x".repeat(100_000) })));
    expect(JSON.stringify(tally.fields).length).toBeLessThan(300_000);
    expect(tally.fields[0]).toEqual({ path: "(other fields)", count: 4800 });
  });

  it("goes on from where it stood", () => {
    const first = new Tally();
    first.differ([{ path: "data.qty", before: 1, after: 2 }]);
    first.refuse({ code: "INPUT_INVALID", reason: "no" });
    const next = new Tally({ fields: first.fields, reasons: first.reasons });
    next.differ([{ path: "data.qty", before: 5, after: 6 }]);
    expect(next.fields).toEqual([{ path: "data.qty", count: 2, before: 1, after: 2 }]);
    expect(next.reasons).toEqual([{ code: "INPUT_INVALID", count: 1, message: "no" }]);
  });
});
