import { describe, expect, it } from "vitest";
import { isLocked, lockMs, longestLockMs, Sources } from "../../../central/auth/lockout.ts";
import { settableClock } from "../../support/clock.ts";

describe("a user's lock", () => {
  it("begins with the fifth wrong password, doubles with each, and ends at a quarter of an hour", () => {
    expect([1, 2, 3, 4].map(lockMs)).toEqual([0, 0, 0, 0]);
    expect([5, 6, 7, 8, 9, 10, 5000].map((failures) => lockMs(failures) / 1000)).toEqual([30, 60, 120, 240, 480, 900, 900]);
  });

  it("does not last for years where the clock was ahead when it began", () => {
    const lockedUntil = Date.UTC(2030, 0, 1);
    expect(isLocked({ locked_until: lockedUntil }, lockedUntil - 1000)).toBe(true);
    expect(isLocked({ locked_until: lockedUntil }, lockedUntil)).toBe(false);
    expect(isLocked({ locked_until: lockedUntil }, lockedUntil - longestLockMs - 1)).toBe(false);
    expect(isLocked({ locked_until: lockedUntil }, Date.UTC(1970, 0, 1))).toBe(false);
    expect(isLocked({ locked_until: null }, 0)).toBe(false);
  });
});

describe("wrong tries of a source", () => {
  it("are twenty, then one in half an hour of running time: fewer than locks that they cause last", () => {
    const clock = settableClock();
    clock.hold();
    const sources = new Sources(clock);
    for (let i = 0; i < 20; i++) expect(sources.take("192.0.2.1").overMs).toBe(0);
    expect(sources.take("192.0.2.1")).toEqual({ overMs: 30 * 60_000, begins: true });
    clock.aheadMs += 365 * 86_400_000;
    expect(sources.take("192.0.2.1")).toEqual({ overMs: 30 * 60_000, begins: false });
    expect(sources.take("192.0.2.2").overMs).toBe(0);
    clock.pass(30 * 60_000);
    expect(sources.take("192.0.2.1").overMs).toBe(0);
    expect(sources.take("192.0.2.1")).toMatchObject({ begins: true });
    expect(30 * 60_000).toBeGreaterThan(longestLockMs);
  });

  it("are twenty at any fraction of a millisecond", () => {
    for (let i = 0; i < 1000; i++) {
      const now = i * 104.729 + 1 / (i + 3);
      const sources = new Sources({ ...settableClock(), monotonic: () => now });
      const tries = Array.from({ length: 21 }, () => sources.take("192.0.2.1").overMs);
      expect(tries, `at ${now} ms`).toEqual([...Array(20).fill(0), 30 * 60_000]);
    }
  });

  it("are given back where they were right, however many", () => {
    const sources = new Sources(settableClock());
    for (let i = 0; i < 100; i++) {
      expect(sources.take("192.0.2.1").overMs).toBe(0);
      sources.giveBack("192.0.2.1");
    }
  });

  it("count for an IPv6 network, whose addresses are one's to choose", () => {
    const clock = settableClock();
    clock.hold();
    const sources = new Sources(clock);
    for (let i = 0; i < 20; i++) expect(sources.take(`2001:db8:0:7::${i.toString(16)}`).overMs).toBe(0);
    expect(sources.take("2001:0db8:0000:0007:ffff::1").overMs).toBeGreaterThan(0);
    expect(sources.take("2001:db8:0:8::1").overMs).toBe(0);
    expect(sources.take("::1").overMs).toBe(0);
  });

  it("are remembered of so many sources as memory bears", () => {
    const clock = settableClock();
    clock.hold();
    const sources = new Sources(clock);
    for (let i = 0; i < 20; i++) sources.take("192.0.2.1");
    for (let i = 0; i < 10_000; i++) sources.take(`source-${i}`);
    expect(sources.take("192.0.2.1").overMs).toBe(0);
  });
});
