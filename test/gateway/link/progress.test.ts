import { expect, it } from "vitest";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";

function openProgress() {
  let at = 0;
  const clock = { ...systemClock, monotonic: () => at };
  const progress = new LinkProgress(clock, openLogger({ level: "silent", site: "lyon" }));
  const pass = (seconds: number): void => {
    at += seconds * 1000;
  };
  return { progress, pass };
}

it("is stalled when nothing moved for twenty seconds with a link, with what is in the way, until something moves", () => {
  const { progress, pass } = openProgress();
  pass(19);
  progress.hindered("telemetry", "central says: busy");
  expect(progress.stalled("telemetry")).toBeUndefined();
  pass(2);
  expect(progress.stalled("telemetry")).toBe("central says: busy (for 21 s)");
  expect(progress.stalled("transaction")).toBe("central does not answer the batches that are under way (for 21 s)");
  progress.moved("telemetry");
  expect(progress.stalled("telemetry")).toBeUndefined();
});

it("does not count the time without a link, and counts on over sessions that bring nothing", () => {
  const { progress, pass } = openProgress();
  pass(10);
  progress.away("transaction");
  pass(3600);
  progress.away("transaction");
  expect(progress.stalled("transaction")).toBeUndefined();
  progress.back("transaction");
  pass(9);
  expect(progress.stalled("transaction")).toBeUndefined();
  progress.back("transaction");
  // as between two sessions that break off
  progress.away("transaction");
  pass(2);
  expect(progress.stalled("transaction")).toContain("for 21 s");
  progress.back("transaction");
  expect(progress.stalled("transaction")).toContain("for 21 s");
});

it("takes a downlink for stalled only where something is in its way: without an answer there was nothing to send", () => {
  const { progress, pass } = openProgress();
  pass(60);
  expect(progress.stalled("downlink")).toBeUndefined();
  progress.hindered("downlink", "lane inbound has used up its budget");
  expect(progress.stalledWays().downlink).toBe("lane inbound has used up its budget (for 60 s)");
});
