import { expect, it } from "vitest";
import { Decisions } from "../../../gateway/delivery/decisions.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Document, makeEvent } from "../../../protocol/index.ts";
import { type SettableClock, settableClock } from "../../support/clock.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deliveries, recorded } from "../../support/queue-on-disk.ts";

/** Longer than the slowest machine takes for a step; a test that wants it to be over says so. */
const withinMs = 60_000;

/** Answers name the order, and not which revision of it they are for. */
function plant(rules: Record<string, unknown> = {}): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const spec = documents[0]!.spec as { flows: Record<string, Record<string, unknown>> };
  const accepted = { topic: "wms/orders/+/ack", match: ["payload.order"], equals: ["data.moId"], within: `${withinMs / 1000}s` };
  spec.flows.orders = {
    ...spec.flows.orders,
    to: [{ connector: "wms", topic: "wms/orders/{data.moId}", accepted }],
    retry: { attempts: 1, base: "5ms", cap: "10ms" },
    ...rules,
  };
  return documents;
}

async function receive(parts: Parts, revision: number): Promise<void> {
  const origin = { id: `revision-${revision}`, site: "hq", connector: "erp", recordedAt: 0 };
  const event = makeEvent("production-order.released", orderPayload({ id: 1, revision }), origin);
  await parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(event) }] });
}
const answer = async (parts: Parts, accepted = true): Promise<void> => {
  const origin = { kind: "topic", topic: "wms/orders/hq-mo-1/ack", retained: false } as const;
  const body = Buffer.from(JSON.stringify({ order: "hq-mo-1", accepted }));
  await parts.connector("wms").inlet.accept([{ origin, body, receivedAt: 1 }]);
};
const ended = (parts: Parts): string[] =>
  recorded(parts)
    .filter(({ type }) => type === "mfg.delivery.completed.v1")
    .map(({ data }) => `${String(data.messageId)} ${String(data.outcome)}`);
const sends = (parts: Parts): string[] => parts.connector("wms").attempts.map(({ event }) => event.id);
const sent = (parts: Parts, ids: readonly string[]) =>
  until(
    () => [sends(parts), deliveries(parts)[0]?.state] as const,
    ([found, state]) => found.length === ids.length && state === "sent",
  );

/** The answer stays away for its time, however late its receiver began to count, until the message is sent again. */
const over = (clock: SettableClock, parts: Parts, count: number) =>
  until(
    () => {
      if (sends(parts).length < count) clock.pass(withinMs / 4);
      return sends(parts).length;
    },
    (found) => found === count,
  );

it("does not take the late answer to a message that was sent twice for one to the next of its key", async () => {
  const clock = settableClock();
  await using parts = await openParts({ clock });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts, 1);
  await sent(parts, ["revision-1"]);
  await over(clock, parts, 2);
  await sent(parts, ["revision-1", "revision-1"]);
  await answer(parts);
  await receive(parts, 2);
  await sent(parts, ["revision-1", "revision-1", "revision-2"]);
  await answer(parts);
  expect(ended(parts)).toEqual(["revision-1 accepted"]);
  await answer(parts, false);
  expect(ended(parts)).toEqual(["revision-1 accepted", "revision-2 refused"]);
});

it("does not take the late answer to a message that was parked and decided for one to the next of its key", async () => {
  const clock = settableClock();
  await using parts = await openParts({ clock });
  await parts.apply(await bundleOf(plant({ onExhausted: "park" }), "lyon"));
  await receive(parts, 1);
  await receive(parts, 2);
  await sent(parts, ["revision-1"]);
  const [parked] = await until(
    () => {
      clock.pass(withinMs / 4);
      return deliveries(parts);
    },
    ([first]) => first?.state === "parked",
  );
  const log = openLogger({ level: "silent", site: "lyon" });
  const ring = (names: ReadonlySet<string>): void => parts.host.ring(names);
  const decisions = new Decisions({ site: "lyon", queue: parts.queue, clock, log, ring });
  await decisions.decide(parked!.id, { decision: "discard", by: "maria", reason: "typed in by hand" });
  await sent(parts, ["revision-1", "revision-2"]);
  await answer(parts);
  expect(ended(parts).at(-1)).toBe("revision-1 refused");
  await answer(parts);
  expect(ended(parts).at(-1)).toBe("revision-2 accepted");
});

it("sends a message once more whose answer was taken for an earlier one, and then takes it", async () => {
  const clock = settableClock();
  await using parts = await openParts({ clock });
  await parts.apply(await bundleOf(plant(), "lyon"));
  await receive(parts, 1);
  // the first was lost on its way, and is never answered
  await sent(parts, ["revision-1"]);
  await over(clock, parts, 2);
  await sent(parts, ["revision-1", "revision-1"]);
  await answer(parts);
  await receive(parts, 2);
  await sent(parts, ["revision-1", "revision-1", "revision-2"]);
  await answer(parts);
  await over(clock, parts, 4);
  await sent(parts, ["revision-1", "revision-1", "revision-2", "revision-2"]);
  await answer(parts);
  expect(ended(parts)).toEqual(["revision-1 accepted", "revision-2 accepted"]);
});
