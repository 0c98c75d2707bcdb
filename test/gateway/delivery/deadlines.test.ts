import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { judgeDeadline } from "../../../gateway/delivery/deadline.ts";
import { toPost } from "../../../protocol/index.ts";
import { bundleOf, openParts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, deliveries } from "../../support/queue-on-disk.ts";
import { ended, order, outcomes, plant, receive } from "./harness.ts";

describe("a message with a deadline", () => {
  it("is not carried out when it waited too long on its way, but reported and kept", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    await parts.apply(await bundleOf(plant({ expires: { after: "1h" } }), "lyon"));
    await receive(parts, [order(1)], { waitedMs: 3_700_000, again: false });
    await receive(parts, [order(2)], { waitedMs: 3_000_000, again: false });
    await ended(parts, 2);
    expect(parts.connector("scheduler").attempts.map(({ key }) => key)).toEqual(["hq-mo-2"]);
    expect(parts.attempts).toMatchObject({ expired: 1, ofUnknownAge: 0 });
    expect(
      outcomes(parts)
        .map(({ outcome }) => outcome)
        .toSorted(),
    ).toEqual(["delivered", "expired"]);
    expect(deadLetters(parts)).toMatchObject([
      { code: "EXPIRED", reason: "not carried out: it waited 3700 s, 3600 s was the most", direction: "out" },
    ]);
  });

  it("counts what it waited before it came, when the machine was restarted before it was looked at", async () => {
    // a fraction, as running time has it
    const centralAt = 1_000_000_000.25;
    const centralNow = () => centralAt + 600_000;
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } }, centralNow });
    const read = parts.queue.frames.bind(parts.queue);
    // what a queue says of frames that were written before the kernel started
    parts.queue.frames = async (...args) => (await read(...args)).map(({ ageMs: _, ...frame }) => frame);
    await receive(parts, [order(1)], { waitedMs: 3_540_000, again: false, centralAt });
    await receive(parts, [order(2)], { waitedMs: 2_400_000, again: false, centralAt });
    await parts.apply(await bundleOf(plant({ expires: { after: "1h" } }), "lyon"));
    await ended(parts, 2);
    expect(parts.connector("scheduler").attempts.map(({ key }) => key)).toEqual(["hq-mo-2"]);
    expect(deadLetters(parts)).toMatchObject([
      { code: "EXPIRED", reason: "not carried out: it waited 4140 s, 3600 s was the most" },
    ]);
  });

  it.each([
    [
      "idempotent",
      undefined,
      "unknown",
      "it may have arrived, and is too late to be sent again: it waited 3700 s, 3600 s was the most",
    ],
    ["checkable", { kind: "not-done" }, "expired", "not carried out: it waited 3700 s, 3600 s was the most"],
  ] as const)(
    "of what may have been carried out before is not said to be missed: %s",
    async (effect, verdict, outcome, detail) => {
      const verify = () => verdict ?? ({ kind: "cannot-tell", reason: "" } as const);
      await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }), verify } } });
      await parts.apply(await bundleOf(plant({ effect, expires: { after: "1h" } }), "lyon"));
      await receive(parts, [order(1)], { waitedMs: 3_700_000, again: true });
      const [said] = await until(
        () => outcomes(parts),
        (found) => found.length > 0,
      );
      expect(parts.connector("scheduler").attempts).toEqual([]);
      expect(said).toMatchObject({ outcome, detail });
      expect(deadLetters(parts)).toHaveLength(outcome === "expired" ? 1 : 0);
    },
  );

  it("of what an earlier attempt may have carried out is not said to be missed, however the later ones failed", async () => {
    const deliver = (_message: Outbound, attempt: number) =>
      attempt === 1 ? { kind: "unknown" as const, reason: "no answer" } : { kind: "retry" as const, reason: "busy" };
    await using parts = await openParts({ receivers: { scheduler: { deliver } } });
    const retry = { attempts: 1, base: "200ms", cap: "200ms" };
    await parts.apply(await bundleOf(plant({ effect: "idempotent", expires: { after: "3s" } }, { retry }), "lyon"));
    await receive(parts, [order(1)]);
    const [said] = await ended(parts, 1);
    expect(said).toMatchObject({ outcome: "unknown" });
    expect(said?.detail).toContain("it may have arrived, and is too late to be sent again");
    expect(deadLetters(parts)).toEqual([]);
  });

  it("waits, and counts as of unknown age, while nobody can tell how long the machine was off", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    await parts.apply(await bundleOf(plant({ expires: { after: "1h" } }), "lyon"));
    await receive(parts, [order(1)], { waitedMs: undefined, again: false });
    await until(
      () => parts.attempts.ofUnknownAge,
      (count) => count === 1,
    );
    expect(parts.attempts.expired).toBe(0);
    expect(deliveries(parts)).toMatchObject([{ state: "waiting", attempts: 0 }]);
  });

  it("is judged by the instant that it names, counted from when it happened", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    await parts.apply(await bundleOf(plant({ expires: { at: '"2026-01-31T09:00:00.000Z"' } }), "lyon"));
    await receive(parts, [order(1)], { waitedMs: 3_500_000, again: false });
    await receive(parts, [order(2)], { waitedMs: 3_700_000, again: false });
    await ended(parts, 2);
    expect(parts.connector("scheduler").attempts.map(({ key }) => key)).toEqual(["hq-mo-1"]);
  });

  it("is a dead letter where the instant is none", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    await parts.apply(await bundleOf(plant({ expires: { at: "data.moId" } }), "lyon"));
    await receive(parts, [order(1)]);
    await ended(parts, 1);
    expect(deadLetters(parts)).toMatchObject([
      { code: "DESTINATION_INVALID", reason: 'expires.at: "hq-mo-1" is no instant in UTC' },
    ]);
  });
});

describe("a deadline", () => {
  const after = toPost.parse({ connector: "scheduler", post: "/in", expires: { after: "10m" } });
  const message = { happenedAt: 0 };

  it("counts what a message waited here and before, and nothing else", () => {
    expect(judgeDeadline({ ageMs: 300_000, waitedMs: 200_000 }, after, message, undefined)).toEqual({ kind: "in-time" });
    expect(judgeDeadline({ ageMs: 300_000, waitedMs: 400_000 }, after, message, undefined)).toMatchObject({ kind: "too-late" });
  });

  it("is not judged after a restart of the machine until central's clock tells, and then by that", () => {
    const waiting = { ageMs: undefined, waitedMs: 0, centralAt: 1_000_000 };
    expect(judgeDeadline(waiting, after, message, undefined)).toEqual({ kind: "unsure" });
    expect(judgeDeadline(waiting, after, message, 1_500_000)).toEqual({ kind: "in-time" });
    expect(judgeDeadline(waiting, after, message, 1_700_000)).toMatchObject({ kind: "too-late" });
  });

  it("is over where central's clock went back meanwhile: nobody can tell by it", () => {
    const waiting = { ageMs: undefined, waitedMs: 0, centralAt: 1_000_000_000 };
    expect(judgeDeadline(waiting, after, message, 999_999_000)).toEqual({ kind: "in-time" });
    expect(judgeDeadline(waiting, after, message, 1_000_000)).toMatchObject({ kind: "too-late" });
  });

  it("is over after a restart of the machine where central's clock was never known", () => {
    expect(judgeDeadline({ ageMs: undefined, waitedMs: 0 }, after, message, 5)).toMatchObject({ kind: "too-late" });
  });

  it("is none for a fact: it never expires", () => {
    expect(judgeDeadline({ ageMs: undefined, waitedMs: 1e12 }, {}, message, undefined)).toEqual({ kind: "in-time" });
  });
});
