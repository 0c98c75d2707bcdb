import { expect, it } from "vitest";
import { parseWaves, wavesToText } from "../../../central/console/changes/waves-text.ts";

it("reads waves as they are written, and writes them as they are read", () => {
  const text = "1\n10 %\nlyon, gent\nall";
  const parsed = parseWaves(text);
  expect(parsed).toEqual({ waves: [{ count: 1 }, { percent: 10 }, { sites: ["lyon", "gent"] }, { percent: 100 }] });
  expect("waves" in parsed && wavesToText(parsed.waves)).toBe(text);
});

it("says in which line something is wrong", () => {
  expect(parseWaves("1\n120 %")).toEqual({ problem: "Line 2: more than 0 % and at most 100 %" });
  expect(parseWaves("0")).toEqual({ problem: "Line 1: at least one site" });
  expect(parseWaves("Ly/on")).toEqual({ problem: "Line 1: a number, 10 %, all, or names of sites" });
});
