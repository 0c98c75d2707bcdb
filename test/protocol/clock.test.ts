import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { systemClock } from "../../protocol/index.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

it("sleeps longer than a timer of the runtime can hold, and is woken in the middle of it", async () => {
  const days = 86_400_000;
  let woke = "";
  const waking = new AbortController();
  const long = systemClock.sleep(60 * days).then(() => {
    woke += "long ";
  });
  const woken = systemClock.sleep(60 * days, waking.signal).then(() => {
    woke += "woken ";
  });
  await vi.advanceTimersByTimeAsync(59 * days);
  expect(woke).toBe("");
  waking.abort();
  await woken;
  await vi.advanceTimersByTimeAsync(days);
  await long;
  expect(woke).toBe("woken long ");
  expect(vi.getTimerCount()).toBe(0);
});
