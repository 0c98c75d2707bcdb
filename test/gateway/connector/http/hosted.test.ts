import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { httpKind } from "../../../../gateway/connector/http/kind.ts";
import { type Document, makeEvent } from "../../../../protocol/index.ts";
import { orderPayload, plantDocuments } from "../../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../../support/gateway-parts.ts";
import { startHttpPeer } from "../../../support/http-peer.ts";
import { until } from "../../../support/process.ts";
import { deadLetters, deliveries } from "../../../support/queue-on-disk.ts";

function plant(url: string): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const template = documents[0]!.spec as { flows: Record<string, unknown>; connectors: Record<string, unknown> };
  template.flows.orders = {
    purpose: "Out",
    from: { central: "production-order.released" },
    to: [{ connector: "scheduler", post: "/in" }],
    retry: { attempts: 2, base: "5ms", cap: "10ms" },
    onExhausted: "park",
  };
  template.connectors.scheduler = { type: "http", url, auth: { bearer: { secret: "token" } } };
  return documents;
}

function putToken({ dataDir }: Parts, token: string): void {
  mkdirSync(join(dataDir, "secrets"), { recursive: true });
  writeFileSync(join(dataDir, "secrets", "token"), token);
}

async function receive(parts: Parts, ids: readonly number[]): Promise<void> {
  const origin = (id: number) => ({ id: `event-${id}`, site: "hq", connector: "erp", recordedAt: 0 });
  const events = ids.map((id) => makeEvent("production-order.released", orderPayload({ id }), origin(id)));
  await parts.queue.commit({ messages: events.map((event) => ({ lane: "inbound", line: JSON.stringify(event) })) });
}

it("keeps the backlog of a peer whose token has expired, and sends it with the next one", async () => {
  await using peer = await startHttpPeer((call, response) =>
    response.writeHead(call.headers.authorization === "Bearer new" ? 202 : 401).end(),
  );
  await using parts = await openParts({ kinds: { http: async () => httpKind } });
  putToken(parts, "expired");
  await parts.apply(await bundleOf(plant(peer.url), "lyon"));
  await receive(parts, [1, 2, 3]);
  await until(
    () => deliveries(parts),
    (found) => found.length === 3 && found.some(({ attempts }) => attempts > 0),
  );
  expect(parts.host.reports().find(({ name }) => name === "scheduler")).toMatchObject({ state: "down" });
  putToken(parts, "new");
  await until(
    () => deliveries(parts),
    (found) => found.length === 0,
  );
  expect(deadLetters(parts)).toEqual([]);
});
