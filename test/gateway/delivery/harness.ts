import type { Outbound } from "../../../gateway/connector/connector.ts";
import { encodeHandedDown, type HandedDown } from "../../../gateway/link/handed-down.ts";
import { type CloudEvent, type Document, makeEvent } from "../../../protocol/index.ts";
import { itemPayload, orderPayload, plantDocuments } from "../../support/documents.ts";
import type { Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { recorded } from "../../support/queue-on-disk.ts";

/** The plant's `orders` flow, or one of schedules, with one destination, and rules of the test's choice. */
export function plant(
  to: Record<string, unknown>,
  rules: Record<string, unknown> = {},
  from = "production-order.released",
): Document[] {
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
export const order = (id: number, revision = 1) =>
  makeEvent("production-order.released", orderPayload({ id, revision }), origin());
export const schedule = (workCentre: string, revision: number) =>
  makeEvent("schedule.revised", { scheduleId: "S", revision, workCentre, entries: [] }, origin());

export const item = (itemId: string, revision: number) =>
  makeEvent("item.published", itemPayload({ itemId, revision }), origin());

/** As the downlink records them. */
export async function receive(
  parts: Parts,
  events: readonly CloudEvent[],
  handed: HandedDown = { waitedMs: 0, again: false },
): Promise<void> {
  await parts.queue.commit({
    messages: events.map((event, input) => ({ lane: "inbound", line: JSON.stringify(event), input })),
    inputs: events.map(() => encodeHandedDown(handed)),
  });
}

export interface Outcome {
  readonly messageId: string;
  readonly outcome: string;
  readonly supersededBy?: string;
  readonly detail?: string;
}
export const outcomes = (parts: Parts): Outcome[] => recorded(parts).map(({ data }) => data as unknown as Outcome);
export const ended = (parts: Parts, count: number) =>
  until(
    () => outcomes(parts),
    (found) => found.length >= count,
  );

/** The plant's `orders` flow with destinations of the test's choice. */
export function withDestinations(to: unknown[]): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const spec = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  spec.flows.orders = { ...spec.flows.orders, to };
  spec.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  return documents;
}
export const post = (effect: "idempotent" | "checkable" | "once") => ({ connector: "scheduler", post: "/orders", effect });
export const answered = (within = "60s") => ({
  connector: "wms",
  topic: "wms/orders/{data.moId}",
  accepted: {
    topic: "wms/orders/+/ack",
    match: ["payload.order", "payload.revision"],
    equals: ["data.moId", "data.revision"],
    within,
  },
});

export const orderOf = (message: Outbound): string =>
  `${message.event.data.moId as string}/${message.event.data.revision as number}`;

/** How each delivery ended, in the words that central gets. */
export const endings = (parts: Parts): string[] =>
  recorded(parts)
    .filter(({ type }) => type === "mfg.delivery.completed.v1")
    .map(({ data }) => String(data.outcome));
