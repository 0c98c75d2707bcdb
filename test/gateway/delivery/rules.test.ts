import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { Decisions } from "../../../gateway/delivery/decisions.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { paced } from "../../support/clock.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, deliveries } from "../../support/queue-on-disk.ts";
import { ended, item, order, outcomes, plant, receive, schedule } from "./harness.ts";

describe("a state", () => {
  it("that a newer one of its key waits behind is not sent any more, and names what took its place", async () => {
    let up = false;
    const sent: number[] = [];
    const receiver = {
      report: () => (up ? ("up" as const) : ("down" as const)),
      deliver: (message: Outbound) => {
        if (!up) return { kind: "retry" as const, reason: "away" };
        sent.push(message.event.data.revision as number);
        return { kind: "done" as const };
      },
    };
    await using parts = await openParts({ receivers: { scheduler: receiver } });
    await parts.apply(await bundleOf(plant({}, {}, "schedule.revised"), "lyon"));
    const plans = [schedule("PRESS-7", 1), schedule("PRESS-7", 2), schedule("PRESS-8", 1), schedule("PRESS-7", 3)];
    await receive(parts, plans);
    await until(
      () => deliveries(parts),
      (found) => found.length === 4,
    );
    up = true;
    await ended(parts, 4);
    expect(sent.toSorted()).toEqual([1, 3]);
    const superseded = outcomes(parts).filter(({ outcome }) => outcome === "superseded");
    expect(superseded.map(({ messageId, supersededBy }) => [messageId, supersededBy])).toEqual([
      [plans[0]!.id, plans[3]!.id],
      [plans[1]!.id, plans[3]!.id],
    ]);
    expect(deliveries(parts)).toEqual([]);
  });

  it("is what is known of an item: of its revisions that wait the newest is sent", async () => {
    let up = false;
    const sent: unknown[] = [];
    const receiver = {
      report: () => (up ? ("up" as const) : ("down" as const)),
      deliver: ({ event }: Outbound) => {
        if (!up) return { kind: "retry" as const, reason: "away" };
        sent.push([event.data.itemId, event.data.revision]);
        return { kind: "done" as const };
      },
    };
    await using parts = await openParts({ receivers: { scheduler: receiver } });
    await parts.apply(await bundleOf(plant({}, {}, "item.published"), "lyon"));
    const items = [item("RM-ALU", 1), item("RM-STL", 1), item("RM-ALU", 2), item("RM-ALU", 3)];
    await receive(parts, items);
    await until(
      () => deliveries(parts),
      (found) => found.length === 4,
    );
    up = true;
    await ended(parts, 4);
    expect(sent.toSorted()).toEqual([
      ["RM-ALU", 3],
      ["RM-STL", 1],
    ]);
    const superseded = outcomes(parts).filter(({ outcome }) => outcome === "superseded");
    expect(superseded.map(({ messageId, supersededBy }) => [messageId, supersededBy])).toEqual([
      [items[0]!.id, items[3]!.id],
      [items[2]!.id, items[3]!.id],
    ]);
  });

  it("is one of some types only: of an order every revision is sent", async () => {
    let up = false;
    const sent: number[] = [];
    const receiver = {
      report: () => (up ? ("up" as const) : ("down" as const)),
      deliver: (message: Outbound) => {
        if (!up) return { kind: "retry" as const, reason: "away" };
        sent.push(message.event.data.revision as number);
        return { kind: "done" as const };
      },
    };
    await using parts = await openParts({ receivers: { scheduler: receiver } });
    await parts.apply(await bundleOf(plant({}), "lyon"));
    await receive(parts, [order(1, 1), order(1, 2), order(1, 3)]);
    await until(
      () => deliveries(parts),
      (found) => found.length === 3,
    );
    up = true;
    await ended(parts, 3);
    expect(sent).toEqual([1, 2, 3]);
  });
});

describe("an exhausted delivery", () => {
  const failing = (report: () => "up" | "down") => ({
    report,
    deliver: (message: Outbound) =>
      message.key === "hq-mo-1" ? { kind: "retry" as const, reason: "503", afterMs: 5 } : { kind: "done" as const },
  });
  const retry = { attempts: 3, base: "5ms", cap: "10ms" };

  it("is parked where the flow says so: tried no more, its key held, others pass, and a person is told", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "up") } });
    await parts.apply(await bundleOf(plant({}, { retry, onExhausted: "park" }), "lyon"));
    await receive(parts, [order(1, 1), order(1, 2), order(2)]);
    await until(
      () => deliveries(parts),
      (found) => found.some(({ state }) => state === "parked") && found.length === 2,
    );
    expect(deliveries(parts)).toMatchObject([
      { key: "hq-mo-1", state: "parked", failures: 3, reason: "503" },
      { key: "hq-mo-1", state: "waiting", attempts: 0 },
    ]);
    expect(
      outcomes(parts)
        .map(({ outcome }) => outcome)
        .toSorted(),
    ).toEqual(["delivered", "parked"]);
    expect(parts.connector("scheduler").attempts.filter(({ key }) => key === "hq-mo-1")).toHaveLength(3);
  });

  it("is parked where its destination says so, after as many attempts as that says, whatever its flow says", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "up") } });
    const to = { retry: { attempts: 2 }, onExhausted: "park" };
    await parts.apply(await bundleOf(plant(to, { retry, onExhausted: "block" }), "lyon"));
    await receive(parts, [order(1)]);
    await until(
      () => deliveries(parts),
      (found) => found.some(({ state }) => state === "parked"),
    );
    expect(deliveries(parts)).toMatchObject([{ key: "hq-mo-1", state: "parked", failures: 2 }]);
  });

  it("is tried on where the flow says block", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "up") } });
    await parts.apply(await bundleOf(plant({}, { retry, onExhausted: "block" }), "lyon"));
    await receive(parts, [order(1)]);
    await until(
      () => parts.connector("scheduler").attempts.length,
      (count) => count > 5,
    );
    expect(deliveries(parts)).toMatchObject([{ state: "waiting" }]);
  });

  it("is none while its receiver is away, however often it was tried", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "down") }, clock: paced(20) });
    await parts.apply(await bundleOf(plant({}, { retry: { ...retry, attempts: 1 }, onExhausted: "park" }), "lyon"));
    await receive(parts, [order(1)]);
    await until(
      () => deliveries(parts)[0]?.attempts ?? 0,
      (attempts) => attempts >= 1,
    );
    expect(deliveries(parts)).toMatchObject([{ state: "waiting", failures: 0 }]);
  });
});

it("delivers each message by itself where the flow says order: none", async () => {
  const sent: string[] = [];
  const receiver = {
    deliver: (message: Outbound) => {
      const revision = String(message.event.data.revision);
      if (revision === "1") return { kind: "retry" as const, reason: "busy", afterMs: 5 };
      sent.push(revision);
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(plant({}, { order: "none" }), "lyon"));
  await receive(parts, [order(1, 1), order(1, 2), order(1, 3)]);
  await until(
    () => deliveries(parts),
    (found) => sent.length === 2 && found.length === 1,
  );
  expect(sent.toSorted()).toEqual(["2", "3"]);
});

describe("a message that central hands down again", () => {
  it("is checked before it is sent to a receiver whose repeat is not harmless", async () => {
    const receiver = { deliver: () => ({ kind: "done" as const }), verify: () => ({ kind: "done" as const, detail: "found" }) };
    await using parts = await openParts({ receivers: { scheduler: receiver } });
    await parts.apply(await bundleOf(plant({ effect: "checkable" }), "lyon"));
    await receive(parts, [order(1)], { waitedMs: 0, again: true });
    await ended(parts, 1);
    expect(parts.connector("scheduler").attempts).toEqual([]);
    expect(outcomes(parts)).toMatchObject([{ outcome: "delivered", detail: "found" }]);
  });

  it("waits for a person where nobody can tell", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    await parts.apply(await bundleOf(plant({ effect: "once" }), "lyon"));
    await receive(parts, [order(1)], { waitedMs: 0, again: true });
    await until(
      () => deliveries(parts),
      (found) => found[0]?.state === "unknown",
    );
    expect(parts.connector("scheduler").attempts).toEqual([]);
  });
});

describe("a delivery that waits for a person", () => {
  const said = (decision: "retry" | "done" | "discard") => ({ decision, by: "shift lead", reason: "looked at the machine" });
  async function undecided(parts: Parts) {
    await parts.apply(await bundleOf(plant({ effect: "once" }), "lyon"));
    await receive(parts, [order(1, 1)], { waitedMs: 0, again: true });
    await receive(parts, [order(1, 2)]);
    const found = await until(
      () => deliveries(parts),
      (each) => each.length === 2 && each[0]?.state === "unknown",
    );
    const log = openLogger({ level: "silent", site: "lyon" });
    const ring = (names: ReadonlySet<string>): void => parts.host.ring(names);
    const decisions = new Decisions({ site: "lyon", queue: parts.queue, clock: systemClock, log, ring });
    return { decisions, id: found[0]!.id };
  }

  it.each([
    ["retry", 2, ["delivered", "delivered"]],
    ["done", 1, ["delivered", "delivered"]],
    ["discard", 1, ["delivered", "refused"]],
  ] as const)("is decided: %s, and its key goes on behind it", async (decision, attempts, ends) => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    const { decisions, id } = await undecided(parts);
    expect(await decisions.decide(id, said(decision))).toEqual({ kind: "decided" });
    await until(
      () => deliveries(parts).length,
      (count) => count === 0,
    );
    expect(parts.connector("scheduler").attempts).toHaveLength(attempts);
    expect(
      outcomes(parts)
        .map(({ outcome }) => outcome)
        .filter((outcome) => outcome !== "unknown")
        .toSorted(),
    ).toEqual(ends);
    if (decision !== "retry")
      expect(outcomes(parts).some(({ detail }) => detail?.includes("shift lead: looked at the machine"))).toBe(true);
    expect(deadLetters(parts)).toHaveLength(decision === "discard" ? 1 : 0);
  });

  it.each([
    ["done", "discard"],
    ["discard", "retry"],
    ["retry", "done"],
  ] as const)("is decided by one of two who decide at once: %s, not %s", async (first, second) => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "done" }) } } });
    const { decisions, id } = await undecided(parts);
    const [one, other] = await Promise.all([decisions.decide(id, said(first)), decisions.decide(id, said(second))]);
    expect(one).toEqual({ kind: "decided" });
    expect(other.kind).toBe("not-undecided");
    await until(
      () => deliveries(parts).length,
      (count) => count === 0,
    );
    const told = outcomes(parts).filter(({ outcome }) => outcome !== "unknown");
    expect(told.map(({ outcome }) => outcome).toSorted()).toEqual(
      first === "discard" ? ["delivered", "refused"] : ["delivered", "delivered"],
    );
    expect(deadLetters(parts)).toHaveLength(first === "discard" ? 1 : 0);
  });

  it("is decided once, and no other is", async () => {
    await using parts = await openParts({ receivers: { scheduler: { deliver: () => ({ kind: "retry", reason: "busy" }) } } });
    const { decisions, id } = await undecided(parts);
    expect(await decisions.decide(id + 1, said("done"))).toEqual({ kind: "not-undecided", state: "waiting" });
    expect(await decisions.decide(4711, said("done"))).toEqual({ kind: "unknown" });
  });
});

it("tries a key behind five hundred that fail", async () => {
  const sent: string[] = [];
  const receiver = {
    deliver: (message: Outbound) => {
      if (message.key !== "hq-mo-600") return { kind: "retry" as const, reason: "busy", afterMs: 60_000 };
      sent.push(message.key);
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(plant({}), "lyon"));
  await receive(
    parts,
    Array.from({ length: 600 }, (_, index) => order(index + 1)),
  );
  await until(
    () => sent.length,
    (count) => count === 1,
  );
});
