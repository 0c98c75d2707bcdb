import { describe, expect, it } from "vitest";
import { WireLog } from "./wire-log.ts";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function answerBatch(log: WireLog, watermark: number, frames: string, first: number): void {
  log.passed({
    path: "/v1/sites/lyon/lanes/telemetry/batches",
    headers: { "plantgate-epoch": "e1", "plantgate-first-sequence": String(first), "plantgate-frames": frames },
    request: Buffer.alloc(0),
    status: 200,
    answer: json({ watermark, incarnation: "i" }),
  });
}

function sayHello(log: WireLog, watermark: number): void {
  log.passed({
    path: "/v1/sites/lyon/sessions",
    headers: {},
    request: json({
      gatewayVersion: "t",
      bootId: "b",
      sentAt: "2026-11-24T08:00:00.000Z",
      epochs: [{ lane: "telemetry", epoch: "e1", firstSequence: 1 }],
    }),
    status: 200,
    answer: json({
      session: "s",
      incarnation: "i",
      leaseSeconds: 15,
      serverTime: "2026-11-24T08:00:00.000Z",
      watermarks: [{ lane: "telemetry", epoch: "e1", watermark }],
      recoveryPointSeconds: 3600,
    }),
  });
}

describe("what the link notes of the wire", () => {
  it("finds the range of each hole among the frames of a batch", () => {
    const log = new WireLog();
    answerBatch(log, 130, `10/200,100~disk~${"0".repeat(64)},20/300`, 1);
    expect(log.holes).toEqual([{ lane: "telemetry", epoch: "e1", first: 11, last: 110, reason: "disk" }]);
  });

  it("finds out that central forgot what it had acknowledged", () => {
    const log = new WireLog();
    answerBatch(log, 50, "50/900", 1);
    sayHello(log, 50);
    expect(log.lost).toBe(0);
    sayHello(log, 20);
    expect(log.lost).toBe(30);
  });

  it("takes no word of central for it where it did not answer with 200", () => {
    const log = new WireLog();
    log.passed({
      path: "/v1/sites/lyon/lanes/telemetry/batches",
      headers: { "plantgate-epoch": "e1" },
      request: Buffer.alloc(0),
      status: 503,
      answer: json({ watermark: 9, incarnation: "i" }),
    });
    expect([log.watermark("e1"), log.refused]).toEqual([0, { 503: 1 }]);
  });
});
