import { expect, it } from "vitest";
import type { Input } from "../../../gateway/connector/connector.ts";
import { since, sumOf } from "../../../gateway/flow/tallies.ts";
import { type Document, makeEvent } from "../../../protocol/index.ts";
import { orderPayload, pickPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";

const input = (topic: string, body: string): Input => ({
  origin: { kind: "topic", topic, retained: false },
  body: Buffer.from(body),
  receivedAt: 1,
});
const order = (id: number) =>
  makeEvent("production-order.released", orderPayload({ id }), {
    id: `event-${id}`,
    site: "hq",
    connector: "erp",
    recordedAt: 0,
  });

it("counts what became of the inputs of each flow, and of those that no flow takes", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" }), "lyon"));
  const { inlet } = parts.connector("wms");
  await inlet.accept([
    input("wms/picks/7/confirmed", pickPayload({ txn: "1", lines: 3 })),
    input("wms/picks/7/confirmed", pickPayload({ txn: "2" })),
    input("wms/picks/7/confirmed", "{}"),
    input("wms/nobody", "{}"),
  ]);
  // a repeat is taken; another content under the same key is kept as a dead letter
  await inlet.accept([input("wms/picks/7/confirmed", pickPayload({ txn: "2" }))]);
  await inlet.accept([input("wms/picks/7/confirmed", pickPayload({ txn: "2", qty: "77" }))]);
  expect(parts.intake.tallies).toEqual([
    { of: "in picks", recorded: 3, deadLetters: 2 },
    { of: "in", recorded: 0, deadLetters: 1 },
  ]);
  expect(sumOf(since([{ of: "in picks", recorded: 1, deadLetters: 1 }], parts.intake.tallies))).toEqual({
    recorded: 2,
    deadLetters: 2,
  });
});

it("counts how the deliveries of each flow ended, and not those whose destination the configuration has no more", async () => {
  const documents: Document[] = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const { connectors, flows } = documents[0]!.spec as Record<"connectors" | "flows", Record<string, unknown>>;
  connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  const orders = flows.orders as object;
  flows.orders = { ...orders, to: [{ connector: "scheduler", post: "/orders", effect: "idempotent" }] };
  let isAway = false;
  await using parts = await openParts({
    receivers: {
      scheduler: {
        report: () => (isAway ? "down" : "up"),
        deliver: (message) => {
          if (isAway) return { kind: "retry", reason: "away" };
          return message.key.endsWith("2") ? { kind: "refused", reason: "never" } : { kind: "done" };
        },
      },
    },
  });
  await parts.apply(await bundleOf(documents, "lyon", 1));
  const receive = (id: number) => parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(order(id)) }] });
  for (const id of [1, 2, 3]) await receive(id);
  const counted = () => parts.attempts.tallies;
  await until(counted, ([tally]) => tally !== undefined && tally.recorded + tally.deadLetters === 3);
  expect(counted()).toEqual([{ of: "out orders", recorded: 2, deadLetters: 1 }]);
  isAway = true;
  await receive(4);
  await until(
    () => parts.connector("scheduler").attempts.length,
    (attempts) => attempts > 3,
  );
  delete connectors.scheduler;
  flows.orders = orders;
  await parts.apply(await bundleOf(documents, "lyon", 2));
  await until(
    async () => (await parts.queue.depth()).deadLetters,
    (letters) => letters === 2,
  );
  expect(counted()).toEqual([{ of: "out orders", recorded: 2, deadLetters: 1 }]);
});
