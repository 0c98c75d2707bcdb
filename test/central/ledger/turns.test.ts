import { expect, it } from "vitest";
import { type Turn, Turns } from "../../../central/ledger/turns.ts";

/** Whose turns come when every lane named always has more. */
function order(waiting: readonly Turn[], turns: number): string[] {
  const all = new Turns();
  for (const turn of waiting) all.add(turn);
  return Array.from({ length: turns }, () => {
    const turn = all.next() as Turn;
    all.add(turn);
    return `${turn.site}/${turn.lane}`;
  });
}

it("lets the sites of one class take turns, however much one of them has waiting", () => {
  const telemetry = ["a", "b", "c"].map((site) => ({ site, lane: "telemetry" as const }));
  expect(order(telemetry, 7)).toEqual(["a", "b", "c", "a", "b", "c", "a"].map((site) => `${site}/telemetry`));
});

it("takes transactions before bulk before samples, and leaves each lower class one turn in eight", () => {
  const waiting = (["telemetry", "bulk", "transaction"] as const).map((lane) => ({ site: "a", lane }));
  const counts = Map.groupBy(order(waiting, 800), (turn) => turn);
  expect(counts.get("a/transaction")?.length).toBe(600);
  expect(counts.get("a/bulk")?.length).toBe(100);
  expect(counts.get("a/telemetry")?.length).toBe(100);
});

it("gives all turns to what is left, and none where nothing is", () => {
  const turns = new Turns();
  expect(turns.next()).toBeUndefined();
  turns.add({ site: "a", lane: "bulk" });
  turns.add({ site: "a", lane: "bulk" });
  expect(turns.next()).toEqual({ site: "a", lane: "bulk" });
  expect(turns.empty).toBe(true);
});
