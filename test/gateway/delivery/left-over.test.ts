import { expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { Decisions } from "../../../gateway/delivery/decisions.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Bundle, type ConnectorConfig, type Document, makeEvent, systemClock } from "../../../protocol/index.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, deliveries } from "../../support/queue-on-disk.ts";

/** A plant with a scheduler, or without; the warehouse's address tells the revision. */
function revision(of: number, scheduler: "with" | "without"): Promise<Bundle> {
  const documents: Document[] = plantDocuments({ site: "lyon", wmsUrl: `mqtt://127.0.0.1:${of}` });
  const spec = documents[0]!.spec as { flows: Record<string, object>; connectors: Record<string, unknown> };
  if (scheduler === "with") {
    spec.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
    spec.flows.orders = { ...spec.flows.orders, to: [{ connector: "scheduler", post: "/orders", effect: "once" }] };
  }
  return bundleOf(documents, "lyon", of);
}

/** Orders 1 and 2 wait, of order 3 nobody knows whether it arrived, and one more of it waits behind that. */
const scheduler = {
  deliver: ({ key }: Outbound) =>
    key === "hq-mo-3"
      ? { kind: "unknown" as const, reason: "cut off" }
      : { kind: "retry" as const, reason: "busy", afterMs: 60_000 },
};
async function waiting(parts: Parts): Promise<void> {
  await parts.apply(await revision(1, "with"));
  const orders = [
    { id: 1, revision: 1 },
    { id: 2, revision: 1 },
    { id: 3, revision: 1 },
    { id: 3, revision: 2 },
  ].map((order) =>
    JSON.stringify(
      makeEvent("production-order.released", orderPayload(order), {
        id: `event-${order.id}-${order.revision}`,
        site: "hq",
        connector: "erp",
        recordedAt: 0,
      }),
    ),
  );
  await parts.queue.commit({ messages: orders.map((line) => ({ lane: "inbound", line })) });
  await until(
    () => states(parts),
    (found) =>
      found.toSorted().join() === "unknown,waiting,waiting,waiting" && parts.connector("scheduler").attempts.length === 3,
  );
}

const states = (parts: Parts): string[] => deliveries(parts).map(({ state }) => state);
async function expectGivenUp(parts: Parts): Promise<void> {
  const letters = await until(
    () => deadLetters(parts),
    (found) => found.length === 2,
  );
  for (const letter of letters) {
    expect(letter).toMatchObject({ code: "DESTINATION_INVALID", connector: "scheduler", place: "POST /orders" });
    expect(letter.reason).toContain('"scheduler"');
  }
  expect(letters.map(({ key }) => key).toSorted()).toEqual(["hq-mo-1", "hq-mo-2"]);
  expect(states(parts)).toEqual(["unknown", "waiting"]);
}

it("keeps what waits for a connector that is gone as a dead letter, and what may have arrived for a person", async () => {
  await using parts = await openParts({ receivers: { scheduler } });
  await waiting(parts);
  await parts.apply(await revision(2, "without"));
  await expectGivenUp(parts);

  // the key goes on behind the decision, and there is nowhere to send either
  const ring = (names: ReadonlySet<string>): void => parts.host.ring(names);
  const log = openLogger({ level: "silent", site: "lyon" });
  const decisions = new Decisions({ site: "lyon", queue: parts.queue, clock: systemClock, log, ring });
  const { id } = deliveries(parts)[0]!;
  expect(await decisions.decide(id, { decision: "retry", by: "u17", reason: "it is not there" })).toEqual({ kind: "decided" });
  await until(
    () => deliveries(parts),
    (found) => found.length === 0,
  );
  expect(deadLetters(parts).map(({ key }) => key)).toHaveLength(4);
});

it("gives up at its start what waits for a connector that the configuration does not have", async () => {
  using folder = temporaryFolder();
  {
    await using parts = await openParts({ folder: folder.path, receivers: { scheduler } });
    await waiting(parts);
  }
  await using parts = await openParts({ folder: folder.path });
  await parts.restore(await revision(2, "without"));
  await expectGivenUp(parts);
});

it("keeps what waits for a connector of a newer configuration while the one before runs in its place", async () => {
  using folder = temporaryFolder();
  {
    await using parts = await openParts({ folder: folder.path, receivers: { scheduler } });
    await waiting(parts);
  }
  await using parts = await openParts({ folder: folder.path });
  await parts.restore(await revision(2, "without"), true);
  await parts.apply(await revision(3, "with"));
  await until(
    () => states(parts),
    (found) => found.join() === "unknown,waiting",
  );
  expect(deadLetters(parts)).toEqual([]);
  expect(
    parts
      .connector("scheduler")
      .attempts.map(({ key }) => key)
      .toSorted(),
  ).toEqual(["hq-mo-1", "hq-mo-2"]);
});

it("gives up nothing of a connector that only a refused configuration does not have", async () => {
  const start = (config: ConnectorConfig): void => {
    if ("url" in config && config.url?.endsWith(":2")) throw new TypeError("no such route");
  };
  let up = false;
  const back = { deliver: (message: Outbound) => (up ? { kind: "done" as const } : scheduler.deliver(message)) };
  await using parts = await openParts({ receivers: { scheduler: back, wms: { start, deliver: () => ({ kind: "done" }) } } });
  await waiting(parts);
  await expect(parts.apply(await revision(2, "without"))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  up = true;
  await until(
    () => states(parts),
    (found) => found.join() === "unknown,waiting",
  );
  expect(deadLetters(parts)).toEqual([]);
  expect(parts.connector("scheduler").attempts.map(({ key }) => key)).toContain("hq-mo-1");
});

it("delivers what waits when the connector that was gone is there again", async () => {
  await using parts = await openParts({ receivers: { scheduler } });
  await waiting(parts);
  await parts.apply(await revision(2, "without"));
  await expectGivenUp(parts);
  await parts.apply(await revision(3, "with"));
  await parts.queue.commit({ doneDeliveries: [deliveries(parts)[0]!.id] });
  parts.host.ring(new Set(["scheduler"]));
  await until(
    () => parts.connector("scheduler").attempts,
    (attempts) => attempts.length === 1,
  );
});
