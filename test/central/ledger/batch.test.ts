import { zstdCompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { type BatchEntry, headProblem, judgeContent, parseEntries, tooMuch } from "../../../central/ledger/batch.ts";
import { batchLimits, frameLimits } from "../../../protocol/index.ts";

const frames = (...texts: string[]) => texts.map((text) => zstdCompressSync(text));
const judge = (counts: readonly number[], bodies: readonly Buffer[]) => {
  const entries: BatchEntry[] = bodies.map(({ byteLength }, index) => ({
    kind: "frame",
    count: counts[index] as number,
    bytes: byteLength,
  }));
  return judgeContent({ entries }, Buffer.concat(bodies));
};
const head = (firstSequence: number, header: string) => {
  const entries = parseEntries(header) as BatchEntry[];
  const count = entries.reduce((sum, entry) => sum + entry.count, 0);
  return { site: "a", lane: "telemetry", session: "s", epoch: "e", firstSequence, count, chain: "", entries, ageMs: 0 } as const;
};

it("counts the lines of each frame, and refuses what hides behind the last one", () => {
  expect(judge([2, 1], frames("a\nb\n", "c\n"))).toEqual({ kind: "whole", inflatedBytes: 6 });
  expect(judge([2, 1], frames("a\n", "b\nc\n"))).toMatchObject({ kind: "wrong", detail: expect.stringContaining("frame 1") });
  expect(judge([1], frames("a\nb"))).toMatchObject({ kind: "wrong", detail: expect.stringContaining("newline") });
});

it("refuses what goes beyond the limit of a batch as too much, however full the frames before it have made it", () => {
  const full = "a".repeat(batchLimits.inflatedBytes - 1);
  expect(judge([1], frames(`${full}\n`))).toMatchObject({ kind: "whole" });
  expect(judge([1, 1], frames(`${full}\n`, "b\n"))).toEqual({ kind: "wrong", detail: tooMuch });
  expect(judge([1, 1], frames("b\n", `${full}\n`))).toEqual({ kind: "wrong", detail: tooMuch });
});

it("takes no head of which a frame holds too many messages, or the numbers are none that can be counted on", () => {
  expect(headProblem(head(1, `${frameLimits.messages}/7`), 7)).toBeUndefined();
  expect(headProblem(head(1, `${frameLimits.messages + 1}/7`), 7)).toContain(String(frameLimits.messages));
  expect(headProblem(head(1, `${frameLimits.messages + 1}~age~${"ab".repeat(32)}`), 0)).toBeUndefined();
  expect(headProblem(head(Number.MAX_SAFE_INTEGER - 1, "1/7"), 7)).toBeUndefined();
  expect(headProblem(head(Number.MAX_SAFE_INTEGER, "1/7"), 7)).toBe("the sequences are too large");
});

it("takes no more entries than a batch may have", () => {
  const entries = (count: number) => new Array(count).fill("1/1").join(",");
  expect(parseEntries(entries(batchLimits.frames))).toHaveLength(batchLimits.frames);
  expect(parseEntries(entries(batchLimits.frames + 1))).toBeUndefined();
});
