import { expect, it } from "vitest";
import { parseEvent } from "../../protocol/index.ts";
import { ordinalOf, payloadBytes, pickOrdinalOf, pickPayload, sampleLine, samplePayload } from "./base/lines.ts";
import { Seen } from "./base/seen.ts";
import { median, medianRatio, percentile, spread } from "./base/statistics.ts";

it("takes the middle of the rounds, between the two middle ones where there are as many on both sides", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

it("gives a percentile as a value that occurred", () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect(percentile(values, 50)).toBe(100);
  expect(percentile(values, 95)).toBe(190);
  expect(percentile(values, 100)).toBe(200);
  expect(percentile([5], 99)).toBe(5);
});

it("compares within each round, so that a slow round of the machine does not count for or against anyone", () => {
  expect(medianRatio([100, 10, 50], [50, 5, 25])).toBe(2);
  expect(medianRatio([100, undefined, 30], [50, 5, 10])).toBe(2.5);
  expect(medianRatio([100], [])).toBeNull();
  expect(medianRatio([100], [0])).toBeNull();
});

it("says the range beside the median where there is one", () => {
  expect(spread([1200, 1000, 1500])).toBe("1,200 (1,000–1,500)");
  expect(spread([0.1234])).toBe("0.123");
  expect(spread([undefined])).toBe("not run");
});

it("counts what is lost, doubled and out of order", () => {
  const seen = new Seen(1, 5);
  for (const ordinal of [1, 3, 2, 3, 5]) seen.note(ordinal);
  expect(seen.tally()).toEqual({ expected: 5, received: 5, lost: 1, doubled: 1, reordered: 1 });
  expect(seen.complete).toBe(false);
  expect(() => seen.note(6)).toThrow("never sent");
});

it("sends canonical samples whose ordinals can be read back, and inputs of exactly the stated size", () => {
  for (const ordinal of [1, 4711, 1_999_999]) {
    expect(parseEvent(sampleLine(ordinal)).data.value).toBe(ordinal);
    expect(ordinalOf(sampleLine(ordinal))).toBe(ordinal);
    expect(sampleLine(ordinal).length).toBeGreaterThan(650);
    for (const payload of [samplePayload(ordinal), pickPayload(ordinal)]) {
      expect(Buffer.byteLength(payload)).toBe(payloadBytes);
      expect(JSON.parse(payload)).toBeTypeOf("object");
    }
    expect(pickOrdinalOf(`{"data":{"txnId":"${ordinal}","taskId":"PK-7"}}`)).toBe(ordinal);
  }
});
