import { expect, it } from "vitest";
import { backlogSeries, History, historyMs } from "../../../central/console/parts/history.ts";
import { lane, site, sitesAnswer, unknownSite } from "./fixtures.ts";

it("keeps the backlog of the last minutes and drops what is older", () => {
  const history = new History();
  for (let atMs = 0; atMs <= 2 * historyMs; atMs += 1000)
    history.record(sitesAnswer([site("lyon", { lanes: [lane("transaction", atMs)] })]), atMs);
  const readings = history.readings(backlogSeries("lyon", "transaction"));
  expect(readings).toHaveLength(historyMs / 1000 + 1);
  expect(readings[0]).toEqual({ atMs: historyMs, value: historyMs });
});

it("takes no reading from a silent site: what it said last is not what it has now", () => {
  const history = new History();
  history.record(sitesAnswer([site("lyon")]), 1_000);
  history.record(sitesAnswer([unknownSite("lyon")]), 2_000);
  expect(history.readings(backlogSeries("lyon", "transaction"))).toEqual([{ atMs: 1_000, value: 0 }]);
});

it("widens the chart's window with what there is, from one minute to five", () => {
  const history = new History();
  expect(history.windowMs(5_000)).toBe(60_000);
  history.record(sitesAnswer([]), 1_000);
  expect(history.windowMs(121_000)).toBe(120_000);
  expect(history.windowMs(10 * historyMs)).toBe(historyMs);
});
