import type { ServerResponse } from "node:http";
import { expect, it } from "vitest";
import { type Document, makeEvent } from "../../../protocol/index.ts";
import { paced } from "../../support/clock.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { type PeerCall, startHttpPeer } from "../../support/http-peer.ts";
import { until } from "../../support/process.ts";
import { deliveries } from "../../support/queue-on-disk.ts";

/** The plant's orders, posted to a peer whose health nobody asks. */
function plant(url: string, rules: Record<string, unknown>): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const template = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  template.flows.orders = {
    purpose: "Out",
    from: { central: "production-order.released" },
    to: [{ connector: "scheduler", post: "/in", effect: "idempotent" }],
    ...rules,
  };
  template.connectors.scheduler = { type: "http", url };
  return documents;
}

async function receive(parts: Parts, ids: readonly number[]): Promise<void> {
  const origin = (id: number) => ({ id: `event-${id}`, site: "hq", connector: "erp", recordedAt: 0 });
  const events = ids.map((id) => makeEvent("production-order.released", orderPayload({ id }), origin(id)));
  await parts.queue.commit({ messages: events.map((event) => ({ lane: "inbound", line: JSON.stringify(event) })) });
}
const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);
const http = async () => (await import("../../../gateway/connector/http/kind.ts")).httpKind;
const retry = { attempts: 3, base: "5ms", cap: "10ms" };

/** A peer that each message of `poison` breaks the connection of. */
const brokenBy = (poison: (id: string) => boolean) =>
  startHttpPeer((call: PeerCall, response: ServerResponse) =>
    poison(/hq-mo-\d+/.exec(call.body)?.[0] ?? "") ? response.socket?.resetAndDestroy() : response.writeHead(202).end(),
  );

it("lets every other key pass a message that its receiver breaks down at, and parks that one", async () => {
  await using peer = await brokenBy((id) => id === "hq-mo-1");
  // a look at a receiver that is away is minutes off: none of it waits for one
  await using parts = await openParts({ kinds: { http }, clock: paced(1 / 50) });
  await parts.apply(await bundleOf(plant(peer.url, { retry, onExhausted: "park" }), "lyon"));
  for (const from of [1, 101, 201, 301]) {
    await receive(parts, range(from, 100));
    const [poison] = await until(
      () => deliveries(parts),
      (found) => found.length === 1,
    );
    // it fails once more after the others were answered, which is what blames it
    await until(
      () => deliveries(parts),
      ([found]) => found?.state === "parked" || (found?.attempts ?? 0) > (poison?.attempts ?? 0),
    );
  }
  await receive(parts, [401]);
  await until(
    () => deliveries(parts),
    ([first, ...others]) => first?.state === "parked" && others.length === 0,
  );
  expect(deliveries(parts)).toMatchObject([{ key: "hq-mo-1", failures: 3 }]);
});

it("uses no attempts up while nobody is answered, and finds the one key that is", async () => {
  let down = true;
  await using peer = await brokenBy((id) => down || id !== "hq-mo-2");
  await using parts = await openParts({ kinds: { http }, clock: paced(20) });
  await parts.apply(await bundleOf(plant(peer.url, { retry, onExhausted: "park" }), "lyon"));
  await receive(parts, [1, 2]);
  await until(
    () => deliveries(parts),
    (found) => found.length === 2 && found.every(({ attempts }) => attempts > 0),
  );
  down = false;
  expect(deliveries(parts)).toMatchObject([1, 2].map(() => ({ state: "waiting", failures: 0 })));
  await until(
    () => deliveries(parts),
    (found) => found.length === 1,
  );
});
