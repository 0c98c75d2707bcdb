import { expect, it } from "vitest";
import type { Outbound, Outcome, Verdict } from "../../../gateway/connector/connector.ts";
import { type Document, makeEvent } from "../../../protocol/index.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deliveries, recorded } from "../../support/queue-on-disk.ts";

/** Orders for a system that can be asked whether it has them. */
function plant(rules: Record<string, unknown> = {}, effect = "checkable"): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const template = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  template.flows.orders = {
    purpose: "Out",
    from: { central: "production-order.released" },
    to: [{ connector: "scheduler", post: "/in", effect }],
    retry: { attempts: 3, base: "5ms", cap: "10ms" },
    ...rules,
  };
  template.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  return documents;
}

async function receive(parts: Parts): Promise<void> {
  const origin = { id: "event-1", site: "hq", connector: "erp", recordedAt: 0 };
  const event = makeEvent("production-order.released", orderPayload({ id: 1 }), origin);
  await parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(event) }] });
}

const ended = (parts: Parts) =>
  until(
    () => recorded(parts).map(({ data }) => data.outcome as string),
    (found) => found.length > 0,
  );

const cannotTell: Verdict = { kind: "cannot-tell", reason: "it does not answer" };
/** Verdicts one after the other; the last one again and again. */
function saying(verdicts: readonly Verdict[]) {
  let asked = 0;
  return { asked: () => asked, verify: (): Verdict => verdicts[Math.min(asked++, verdicts.length - 1)] as Verdict };
}
const done: Verdict = { kind: "done" };
const lost: Outcome = { kind: "unknown", reason: "no answer" };

it("asks a receiver five times, and holds what it still cannot tell for a person", async () => {
  const { asked, verify } = saying([cannotTell]);
  await using parts = await openParts({ receivers: { scheduler: { deliver: () => lost, verify } } });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts);
  expect(await ended(parts)).toEqual(["unknown"]);
  expect(asked()).toBe(5);
});

it("counts asks alone: a message that was tried often is not held for one ask without an answer", async () => {
  const deliver = (_message: Outbound, attempt: number): Outcome =>
    attempt <= 6 ? { kind: "retry", reason: "it is away", afterMs: 1 } : lost;
  const { verify } = saying([cannotTell, done]);
  await using parts = await openParts({ receivers: { scheduler: { deliver, verify } } });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
});

it("counts the asks about each attempt anew", async () => {
  const deliver = (_message: Outbound, attempt: number): Outcome => (attempt <= 2 ? lost : { kind: "done" });
  const threeTimes = [cannotTell, cannotTell, cannotTell];
  const { asked, verify } = saying([...threeTimes, { kind: "not-done" }, ...threeTimes, { kind: "not-done" }]);
  await using parts = await openParts({ receivers: { scheduler: { deliver, verify } } });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
  expect(asked()).toBe(8);
});

it("counts no ask while the receiver is away: what a power cut left is asked about once it is back", async () => {
  let up = true;
  const { asked, verify } = saying([...Array(7).fill(cannotTell), done]);
  const report = (): "up" | "down" => (up ? "up" : "down");
  const deliver = (): Outcome => {
    up = false;
    return lost;
  };
  await using parts = await openParts({ receivers: { scheduler: { deliver, verify, report } } });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts);
  await until(asked, (count) => count >= 1);
  // each is a look at a receiver that is away, which the runner takes every few seconds
  for (let looks = 0; looks < 6; looks++) {
    const [row] = deliveries(parts);
    expect(row?.state).toBe("intent");
    await parts.attempts.run(row!, parts.connector("scheduler"), new AbortController().signal, () => {});
  }
  expect(deliveries(parts)).toMatchObject([{ state: "intent" }]);
  up = true;
  expect(await ended(parts)).toEqual(["delivered"]);
});

it("counts no ask while the receiver may still be at work on the attempt", async () => {
  const { verify } = saying([...Array(9).fill({ ...cannotTell, settlesInMs: 60_000 }), done]);
  await using parts = await openParts({ receivers: { scheduler: { deliver: () => lost, verify } } });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
});

it("uses up no attempt of a message that waits for an earlier one of its own to settle", async () => {
  const seen: (true | undefined)[] = [];
  const deliver = (message: Outbound, attempt: number): Outcome => {
    seen.push(message.perhapsDone);
    if (attempt === 1) return lost;
    return attempt < 9 ? { kind: "retry", reason: "still at work", settlesInMs: 60_000 } : { kind: "done" };
  };
  await using parts = await openParts({ receivers: { scheduler: { deliver } } });
  await parts.apply(await bundleOf(plant({ onExhausted: "park" }, "idempotent"), "lyon"));
  await receive(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
  expect(seen).toEqual([undefined, ...Array(8).fill(true)]);
});
