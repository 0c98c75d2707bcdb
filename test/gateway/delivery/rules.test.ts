import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { judgeDeadline } from "../../../gateway/delivery/deadline.ts";
import { Decisions } from "../../../gateway/delivery/decisions.ts";
import { encodeHandedDown, type HandedDown } from "../../../gateway/link/handed-down.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type CloudEvent, type Document, makeEvent, systemClock, toPost } from "../../../protocol/index.ts";
import { paced } from "../../support/clock.ts";
import { itemPayload, orderPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";

/** The plant's `orders` flow, or one of schedules, with one destination, and rules of the test's choice. */
function plant(to: Record<string, unknown>, rules: Record<string, unknown> = {}, from = "production-order.released"): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const template = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  template.flows.orders = {
    purpose: "Out",
    from: { central: from },
    to: [{ connector: "scheduler", post: "/in", ...to }],
    ...rules,
  };
  template.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  (documents[1]!.spec as { grants: { receive: string[] } }).grants.receive.push("schedule.revised", "item.published");
  return documents;
}

let next = 1;
const origin = () => ({
  id: `event-${next++}`,
  site: "hq",
  connector: "erp",
  recordedAt: Date.parse("2026-01-31T08:00:00.000Z"),
});
const order = (id: number, revision = 1) => makeEvent("production-order.released", orderPayload({ id, revision }), origin());
const schedule = (workCentre: string, revision: number) =>
  makeEvent("schedule.revised", { scheduleId: "S", revision, workCentre, entries: [] }, origin());

const item = (itemId: string, revision: number) => makeEvent("item.published", itemPayload({ itemId, revision }), origin());

/** As the downlink records them. */
async function receive(
  parts: Parts,
  events: readonly CloudEvent[],
  handed: HandedDown = { waitedMs: 0, again: false },
): Promise<void> {
  await parts.queue.commit({
    messages: events.map((event, input) => ({ lane: "inbound", line: JSON.stringify(event), input })),
    inputs: events.map(() => encodeHandedDown(handed)),
  });
}

function reading<Value>(parts: Parts, read: (reader: QueueReader) => Value): Value {
  using reader = new QueueReader(join(parts.dataDir, "queue.sqlite"));
  return read(reader);
}
interface Outcome {
  readonly messageId: string;
  readonly outcome: string;
  readonly supersededBy?: string;
  readonly detail?: string;
}
const outcomes = (parts: Parts): Outcome[] =>
  reading(parts, (reader) =>
    [...reader.messages("transaction")].map(({ line }) => (JSON.parse(line) as CloudEvent).data as unknown as Outcome),
  );
const rows = (parts: Parts) => reading(parts, (reader) => [...reader.deliveries.each()]);
const letters = (parts: Parts) => reading(parts, (reader) => reader.deadLetters.search({ limit: 10 }));
const ended = (parts: Parts, count: number) =>
  until(
    () => outcomes(parts),
    (found) => found.length >= count,
  );

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
      () => rows(parts),
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
    expect(rows(parts)).toEqual([]);
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
      () => rows(parts),
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
      () => rows(parts),
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
      () => rows(parts),
      (found) => found.some(({ state }) => state === "parked") && found.length === 2,
    );
    expect(rows(parts)).toMatchObject([
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
      () => rows(parts),
      (found) => found.some(({ state }) => state === "parked"),
    );
    expect(rows(parts)).toMatchObject([{ key: "hq-mo-1", state: "parked", failures: 2 }]);
  });

  it("is tried on where the flow says block", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "up") } });
    await parts.apply(await bundleOf(plant({}, { retry, onExhausted: "block" }), "lyon"));
    await receive(parts, [order(1)]);
    await until(
      () => parts.connector("scheduler").attempts.length,
      (count) => count > 5,
    );
    expect(rows(parts)).toMatchObject([{ state: "waiting" }]);
  });

  it("is none while its receiver is away, however often it was tried", async () => {
    await using parts = await openParts({ receivers: { scheduler: failing(() => "down") }, clock: paced(20) });
    await parts.apply(await bundleOf(plant({}, { retry: { ...retry, attempts: 1 }, onExhausted: "park" }), "lyon"));
    await receive(parts, [order(1)]);
    await until(
      () => rows(parts)[0]?.attempts ?? 0,
      (attempts) => attempts >= 1,
    );
    expect(rows(parts)).toMatchObject([{ state: "waiting", failures: 0 }]);
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
    () => rows(parts),
    (found) => sent.length === 2 && found.length === 1,
  );
  expect(sent.toSorted()).toEqual(["2", "3"]);
});

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
    expect(letters(parts)).toMatchObject([
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
    expect(letters(parts)).toMatchObject([{ code: "EXPIRED", reason: "not carried out: it waited 4140 s, 3600 s was the most" }]);
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
      expect(letters(parts)).toHaveLength(outcome === "expired" ? 1 : 0);
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
    expect(letters(parts)).toEqual([]);
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
    expect(rows(parts)).toMatchObject([{ state: "waiting", attempts: 0 }]);
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
    expect(letters(parts)).toMatchObject([{ code: "DESTINATION_INVALID", reason: 'expires.at: "hq-mo-1" is no instant in UTC' }]);
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
      () => rows(parts),
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
      () => rows(parts),
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
      () => rows(parts).length,
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
    expect(letters(parts)).toHaveLength(decision === "discard" ? 1 : 0);
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
      () => rows(parts).length,
      (count) => count === 0,
    );
    const told = outcomes(parts).filter(({ outcome }) => outcome !== "unknown");
    expect(told.map(({ outcome }) => outcome).toSorted()).toEqual(
      first === "discard" ? ["delivered", "refused"] : ["delivered", "delivered"],
    );
    expect(letters(parts)).toHaveLength(first === "discard" ? 1 : 0);
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
