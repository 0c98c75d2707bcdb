import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeLines } from "../../../central/ledger/judge.ts";
import { sampleLines } from "../../../central/ledger/sample-line.ts";
import { type CloudEvent, equipmentSampled, makeEvent, parseEvent } from "../../../protocol/index.ts";
import { pick, sample } from "../../support/messages.ts";

const lines = sampleLines("plant-a");
const recognized = (line: string): boolean => lines.count(`${line}\n`, 0, 1).lines === 1;
function accepted(line: string): CloudEvent | undefined {
  try {
    return parseEvent(line);
  } catch {
    return undefined;
  }
}

const instants = fc
  .date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59.999Z"), noInvalidDate: true })
  .map((date) => date.toISOString());
const plain = (max: number) => fc.string({ minLength: 1, maxLength: max, unit: "grapheme" }).map((text) => text.slice(0, max));
const data = fc.record(
  {
    equipment: plain(40),
    item: plain(40),
    value: fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.string({ maxLength: 50 }),
      fc.boolean(),
      fc.constant(null),
    ),
    dataType: fc.string({ maxLength: 32 }),
    unitCode: fc.string({ maxLength: 16 }),
    statusCode: fc.integer({ min: 0, max: 0xffffffff }),
    quality: fc.constantFrom("good", "uncertain", "bad"),
    sourceTimestamp: instants,
    serverTimestamp: instants,
    node: fc.string({ maxLength: 60 }),
    overflow: fc.boolean(),
  },
  { requiredKeys: ["equipment", "item", "value", "quality", "sourceTimestamp"] },
);
/** A sample as a gateway makes it, where its schema takes it. */
const made = fc.tuple(data, fc.boolean()).map(([given, hashed]) => {
  try {
    return JSON.stringify(
      makeEvent(equipmentSampled.type, given, {
        id: "0190-a",
        site: "plant-a",
        connector: "press",
        flow: "samples",
        recordedAt: 1_769_846_400_000,
        ...(hashed ? { inputHash: "ab".repeat(32) } : {}),
      }),
    );
  } catch {
    return undefined;
  }
});

describe("a recognized sample", () => {
  it("is always one that the schemas accept, whatever is changed in it", () => {
    fc.assert(
      fc.property(
        made,
        fc.nat(),
        fc.nat({ max: 3 }),
        fc.string({ maxLength: 3, unit: "binary-ascii" }),
        (line, at, removed, added) => {
          fc.pre(line !== undefined);
          const place = at % line!.length;
          const changed = line!.slice(0, place) + added + line!.slice(place + removed);
          fc.pre(!changed.includes("\n"));
          if (!recognized(changed)) return;
          const event = accepted(changed);
          expect(event, changed).toBeDefined();
          expect(event).toMatchObject({ site: "plant-a", type: equipmentSampled.type });
          expect(event?.sequence).toBeUndefined();
          expect(event?.idempotencykey).toBeUndefined();
          // what is counted is written on as it is: it has to be what was meant
          expect(JSON.parse(changed)).toEqual(event);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["a leap day that is none", { sourceTimestamp: "2026-02-29T08:00:00.000Z" }],
    ["a day that its month has not", { sourceTimestamp: "2026-04-31T08:00:00.000Z" }],
    ["an hour that there is not", { sourceTimestamp: "2026-04-30T24:00:00.000Z" }],
    ["a quality that there is not", { quality: "fine" }],
    ["a key that there is not", { unheardOf: 1 }],
    ["too long a name", { item: "x".repeat(129) }],
    ["no name", { item: "" }],
    ["a control character", { item: "a\u007fb" }],
    ["a status that is too large", { statusCode: 99_999_999_999 }],
  ])("is not one with %s", (_, change) => {
    const event = sample("plant-a", 1);
    const line = JSON.stringify({ ...event, data: { ...event.data, ...change } });
    expect(accepted(line)).toBeUndefined();
    expect(recognized(line)).toBe(false);
  });

  it("is what gateways make, unless a text in it needs an escape", () => {
    fc.assert(
      fc.property(made, (line) => {
        fc.pre(line !== undefined && !/\\|[\u007f-\u009f]/.test(line));
        // beyond what a source says in earnest: expanded years, statuses that no standard has, numbers near the largest
        fc.pre(!/"[+-]\d{6}-|"statusCode":4|[eE][+-]?\d{3}/.test(line!));
        expect(recognized(line!), line).toBe(true);
      }),
    );
  });

  it("may be of a leap day", () => {
    const event = sample("plant-a", 1);
    const on = (day: string) =>
      recognized(JSON.stringify({ ...event, data: { ...event.data, sourceTimestamp: `${day}T08:00:00.000Z` } }));
    expect([on("2028-02-29"), on("2000-02-29"), on("1900-02-29"), on("2026-02-29")]).toEqual([true, true, false, false]);
  });
});

describe("lines that are not all recognized", () => {
  const judge = (texts: readonly (string | Buffer)[], skip = 0) =>
    judgeLines(
      Buffer.concat(texts.flatMap((text) => [Buffer.from(text), Buffer.from("\n")])),
      skip,
      texts.length - skip,
      { site: "plant-a", lane: "telemetry" },
      { maySend: () => true },
    );
  const good = JSON.stringify(sample("plant-a", 1));

  it("are judged one by one between the others, each at its place", () => {
    const escaped = JSON.stringify({ ...sample("plant-a", 2), partitionkey: 'a"b' });
    const judged = judge([good, "not json", good, escaped, JSON.stringify(pick("plant-a", "T-1")), good]);
    expect(judged.samples).toBe(3);
    expect(judged.accepted.map(({ index }) => index)).toEqual([3]);
    expect(judged.refused.map(({ index, code }) => [index, code])).toEqual([
      [1, "undecodable"],
      [4, "lane-mismatch"],
    ]);
  });

  it("are judged behind those that are skipped", () => {
    expect(judge(["first", "second", good, "last"], 2)).toMatchObject({
      samples: 1,
      refused: [{ index: 1, evidence: { text: "last" } }],
    });
  });

  it("are set aside where their bytes are no UTF-8, and those beside them are not", () => {
    const broken = Buffer.concat([Buffer.from('{"id":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]);
    const judged = judge([good, broken, good]);
    expect(judged.refused).toMatchObject([{ index: 1, code: "undecodable", reason: "the line is not UTF-8" }]);
    expect(judged.samples + judged.accepted.length).toBe(2);
  });

  it("are set aside where they claim a sequence of their own", () => {
    const claiming = JSON.stringify({ ...sample("plant-a", 1), sequence: "00000000000000000007" });
    expect(judge([claiming]).refused).toMatchObject([{ code: "undecodable" }]);
  });
});
