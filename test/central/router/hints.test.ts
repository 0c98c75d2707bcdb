import { expect, it } from "vitest";
import { Hints, ledgerHint } from "../../../central/router/hints.ts";

it("wakes whoever waits for a site, or everybody", async () => {
  const hints = new Hints();
  const woken: string[] = [];
  const never = new AbortController().signal;
  const waits = ["plant-a", "plant-b", ledgerHint].map((site) => hints.wait(site, 10_000, never).then(() => woken.push(site)));
  hints.wake("plant-b");
  await waits[1];
  expect(woken).toEqual(["plant-b"]);
  hints.wakeEverybody();
  await Promise.all(waits);
  expect(woken).toHaveLength(3);
});
