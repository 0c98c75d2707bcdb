import { expect, it } from "vitest";
import { openLogger } from "../../../gateway/telemetry/logger.ts";

it("changes the level of all that log, also of those that were made before, and goes back to its own", () => {
  const lines: string[] = [];
  const log = openLogger({ level: "warn", site: "lyon", destination: { write: (line: string) => void lines.push(line) } });
  const child = log.child({ connector: "wms" }).child({ session: 1 });
  const said = (): number => {
    lines.length = 0;
    for (const each of [log, child, log.child({})]) {
      each.debug({ event: "a" }, "detail");
      each.warn({ event: "b" }, "trouble");
    }
    return lines.length;
  };
  expect(said()).toBe(3);
  log.setLevel("debug");
  expect(said()).toBe(6);
  log.setLevel("error");
  expect(said()).toBe(0);
  log.setLevel(undefined);
  expect(said()).toBe(3);
});
