import { expect, it } from "vitest";
import { ByteRate } from "../../../gateway/link/byte-rate.ts";
import { LaneShares } from "../../../gateway/link/lane-shares.ts";
import { LinkLimits } from "../../../gateway/link/link-limits.ts";
import { linkPolicy } from "../../../protocol/index.ts";
import { settableClock } from "../../support/clock.ts";

const weights = { transaction: 8, bulk: 2, telemetry: 1 };
const ticks = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

it("lets no more through than the rate, a second's worth and one batch, over any time", () => {
  const clock = settableClock();
  clock.hold();
  const rate = new ByteRate(clock);
  rate.configure(1000);
  let sent = 0;
  for (let ms = 0; ms <= 60_000; ms += 50) {
    while (rate.waitMs() === 0) {
      rate.took(700);
      sent += 700;
    }
    expect(sent).toBeLessThanOrEqual(1000 + ms + 700);
    clock.pass(50);
  }
  expect(sent).toBeGreaterThan(58_000);
});

it("says how long it takes until something may go, and is right", () => {
  const clock = settableClock();
  clock.hold();
  const rate = new ByteRate(clock);
  rate.configure(1000);
  rate.took(5000);
  const waitMs = rate.waitMs();
  clock.pass(waitMs - 10);
  expect(rate.waitMs()).toBeGreaterThan(0);
  clock.pass(10);
  expect(rate.waitMs()).toBe(0);
});

it("saves nothing up over a long silence but a second's worth", () => {
  const clock = settableClock();
  clock.hold();
  const rate = new ByteRate(clock);
  rate.configure(1000);
  clock.pass(3_600_000);
  rate.took(1000);
  expect(rate.waitMs()).toBeGreaterThan(0);
});

it("gives the bytes that come in to a live transaction before what waited longer", async () => {
  const clock = settableClock();
  clock.hold();
  const shares = new LaneShares(weights, clock);
  shares.limit(1000);
  const never = new AbortController().signal;
  const order: string[] = [];
  await shares.turn("telemetry", 3000, never);
  void shares.turn("telemetry", 10, never).then(() => order.push("telemetry"));
  void shares.turn("transaction", 10, never).then(() => order.push("transaction"));
  await ticks();
  expect(order).toEqual([]);
  clock.pass(2100);
  await ticks();
  expect(order[0]).toBe("transaction");
});

it("applies a higher limit, or none, to what waits already", async () => {
  const clock = settableClock();
  clock.hold();
  const shares = new LaneShares(weights, clock);
  const limits = new LinkLimits(shares);
  limits.configure({ link: linkPolicy.parse({ bytesPerSecond: "1KiB" }) });
  const never = new AbortController().signal;
  await shares.turn("telemetry", 1024 ** 2, never);
  let went = false;
  void shares.turn("telemetry", 10, never).then(() => {
    went = true;
  });
  await ticks();
  expect(went).toBe(false);
  limits.configure({});
  await ticks();
  expect(went).toBe(true);
});

it("leaves no timer where nobody waits any more", async () => {
  const clock = settableClock();
  const slept: AbortSignal[] = [];
  const shares = new LaneShares(weights, {
    ...clock,
    sleep: (ms, signal) => {
      if (signal) slept.push(signal);
      return clock.sleep(ms, signal);
    },
  });
  shares.limit(1024);
  const leaving = new AbortController();
  await shares.turn("bulk", 1024 ** 2, leaving.signal);
  const turn = shares.turn("bulk", 10, leaving.signal);
  await ticks();
  expect(slept.map(({ aborted }) => aborted)).toEqual([false]);
  leaving.abort();
  expect(await turn).toBe(false);
  expect(slept.map(({ aborted }) => aborted)).toEqual([true]);
});

it("holds batches to what a second brings, and to what the policy says", () => {
  const limits = new LinkLimits({ limit: () => {} });
  expect(limits.batch).toEqual({ bytes: 1024 ** 2, messages: Number.POSITIVE_INFINITY });
  expect([limits.lingerMs("transaction"), limits.lingerMs("bulk"), limits.lingerMs("telemetry")]).toEqual([0, 200, 250]);
  limits.configure({
    link: linkPolicy.parse({ bytesPerSecond: "64KiB", batch: { messages: 500 }, linger: { telemetry: "2s" } }),
  });
  expect(limits.batch).toEqual({ bytes: 64 * 1024, messages: 500 });
  expect(limits.lingerMs("telemetry")).toBe(2000);
});
