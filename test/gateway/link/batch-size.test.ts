import { expect, it } from "vitest";
import { BatchSize } from "../../../gateway/link/batch-size.ts";

it("grows while answers are quick, and shrinks when they are slow", () => {
  const size = new BatchSize();
  const start = size.limits.bytes;
  for (let n = 0; n < 20; n++) size.answered(size.limits.bytes, 50);
  expect(size.limits.bytes).toBe(1024 * 1024);
  for (let n = 0; n < 3; n++) size.answered(size.limits.bytes, 3000);
  expect(size.limits.bytes).toBeLessThan(1024 * 1024);
  expect(start).toBeLessThan(1024 * 1024);
});

it("begins each session with one small batch under way, and more of them once answers are quick", () => {
  const size = new BatchSize();
  expect(size.window).toBe(1);
  for (let n = 0; n < 20; n++) size.answered(size.limits.bytes, 50);
  expect(size.window).toBe(4);
  size.answered(1000, 3000);
  expect(size.window).toBe(2);
  size.lost();
  expect(size.window).toBe(1);
  for (let n = 0; n < 20; n++) size.answered(size.limits.bytes, 50);
  size.begins();
  expect([size.window, size.limits.bytes]).toEqual([1, 16 * 1024]);
});

it("does not grow by batches that were small because little waited", () => {
  const size = new BatchSize();
  const before = size.limits.bytes;
  for (let n = 0; n < 20; n++) size.answered(100, 10);
  expect(size.limits.bytes).toBe(before);
});

it("has more patience after each batch that was lost, so that one frame gets through the slowest link", () => {
  const size = new BatchSize();
  expect(size.silenceMs).toBe(15_000);
  for (let n = 0; n < 5; n++) size.lost();
  expect(size.silenceMs).toBe(120_000);
  expect(size.limits.bytes).toBeGreaterThan(0);
  size.answered(1000, 20_000);
  expect(size.silenceMs).toBe(80_000);
  size.answered(1000, 100);
  expect(size.silenceMs).toBe(15_000);
});

it("takes fewer frames at once when the receiver says that it were too many, down to one", () => {
  const size = new BatchSize();
  for (let frames = 8; frames >= 1; frames = Math.floor(frames / 2)) size.tooLarge(frames);
  expect(size.limits.frames).toBe(1);
});
