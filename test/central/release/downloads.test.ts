import { expect, it } from "vitest";
import { Downloads } from "../../../central/release/downloads.ts";

it("a site has two open, its newest; others find room", () => {
  const downloads = new Downloads({ atOnce: 3 });
  const stopped: number[] = [];
  const opened = [0, 1, 2, 3, 4].map((each) => downloads.begin("a", () => stopped.push(each)));
  expect(stopped).toEqual([0, 1, 2]);
  expect(downloads.isFullFor("b")).toBe(false);
  downloads.begin("b", () => stopped.push(9));
  expect(downloads.isFullFor("c")).toBe(true);
  // it has one already that would give way
  opened[0]?.end();
  expect(downloads.isFullFor("a")).toBe(false);
  opened[4]?.end();
  expect(downloads.isFullFor("c")).toBe(false);
  expect(stopped).toEqual([0, 1, 2]);
});

it("one of which nothing is taken is ended", async () => {
  const downloads = new Downloads({ atOnce: 1, silentMs: 20 });
  const { promise, resolve } = Promise.withResolvers<void>();
  downloads.begin("a", resolve).moved();
  expect(downloads.isFullFor("b")).toBe(true);
  // what watches it keeps no process alive
  const alive = setInterval(() => undefined, 1000);
  await promise;
  clearInterval(alive);
  expect(downloads.isFullFor("b")).toBe(false);
});
