import { describe, expect, it } from "vitest";
import type { Continued, Hole } from "../link/wire-log.ts";
import { Book } from "../load/book.ts";
import { Judge } from "./judge.ts";
import { judgeReported, type Told } from "./reported.ts";

/** Ten acknowledged samples with sequences 1 to 10 in one epoch, of which some are recorded. */
function judged(recorded: readonly number[]): Judge {
  const book = new Book({ name: "s", kind: "sample", keys: 1, repeats: false });
  for (let n = 0; n < 10; n++) book.acknowledge(book.publish());
  const judge = new Judge([book]);
  for (const n of recorded)
    judge.take({
      position: n,
      site: "lyon",
      lane: "telemetry",
      epoch: "e1",
      sequence: n + 1,
      event: { type: "mfg.equipment.sampled.v1", data: { equipment: "s/d0", item: "temperature", value: n } },
    });
  return judge;
}

function told(holes: readonly Partial<Hole>[], epochs: readonly Continued[] = [], watermark = 0): Told {
  return {
    holes: holes.map((hole) => ({ lane: "telemetry", epoch: "e1", first: 1, last: 1, reason: "disk", ...hole })),
    epochs,
    watermark: () => watermark,
  };
}

describe("what was reported of missing messages", () => {
  it("accepts messages inside a hole", () => {
    expect(judgeReported(judged([0, 1, 2, 6, 7, 8, 9]), told([{ first: 4, last: 6 }]))).toMatchObject({
      reported: 3,
      unreported: 0,
    });
  });

  it("finds a loss where nothing was reported", () => {
    expect(judgeReported(judged([0, 1, 2, 6, 7, 8, 9]), told([]))).toMatchObject({ reported: 0, unreported: 3 });
  });

  it("finds a loss beside the range that was reported", () => {
    expect(judgeReported(judged([0, 1, 2, 4, 5, 6, 7, 8, 9]), told([{ first: 8, last: 9 }]))).toMatchObject({ unreported: 1 });
  });

  it("finds more losses than the range holds", () => {
    expect(judgeReported(judged([0, 1, 8, 9]), told([{ first: 4, last: 5 }]))).toMatchObject({ reported: 2, unreported: 4 });
  });

  it("accepts what a new epoch says its predecessor had and central never got", () => {
    const next: Continued = {
      lane: "telemetry",
      epoch: "e2",
      firstSequence: 11,
      predecessor: { epoch: "e1", lastSequence: 10 },
    };
    expect(judgeReported(judged([0, 1, 2, 3, 4]), told([], [next], 5))).toMatchObject({ reported: 5, unreported: 0 });
  });
});
