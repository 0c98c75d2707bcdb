import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { noteDamage } from "../../../gateway/queue/damage.ts";
import { type Document, makeEvent } from "../../../protocol/index.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";

const pageBytes = 4096;

/** The plant's picks, posted to the scheduler: they lie in a lane that keeps what was dispatched until central has it. */
function plant(): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  const spec = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  spec.flows.picks = { ...spec.flows.picks, to: [{ connector: "scheduler", post: "/in", effect: "idempotent" }] };
  spec.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  return documents;
}

function harmFirstLeaf(path: string): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const leaf = "SELECT pageno FROM dbstat WHERE name = 'deliveries' AND pagetype = 'leaf' ORDER BY path LIMIT 1";
  const page = db.prepare(leaf).get()!.pageno as number;
  db.close();
  const handle = openSync(path, "r+");
  writeSync(handle, Buffer.alloc(pageBytes, 0xaa), 0, pageBytes, (page - 1) * pageBytes);
  closeSync(handle);
}

it("delivers nothing of a damaged file before what lost its delivery is dispatched again, and then all in order", async () => {
  using folder = temporaryFolder();
  const count = 60;
  const ids = Array.from({ length: count }, (_, n) => `event-${n}`);
  const bundle = await bundleOf(plant(), "lyon");
  const away = { deliver: () => ({ kind: "retry" as const, reason: "away", afterMs: 60_000 }), report: () => "down" as const };
  {
    await using parts = await openParts({ folder: folder.path, receivers: { scheduler: away } });
    await parts.apply(bundle);
    for (const id of ids) {
      const origin = { id, site: "lyon", connector: "wms", flow: "picks", recordedAt: 0 };
      const event = makeEvent("production-order.released", orderPayload({ id: 1 }), origin);
      await parts.queue.commit({ messages: [{ lane: "transaction", line: JSON.stringify(event) }] });
    }
    await until(
      () => parts.queue.depth(),
      ({ deliveries }) => deliveries.waiting === count,
    );
  }
  const path = join(folder.path, "queue.sqlite");
  harmFirstLeaf(path);
  noteDamage(path);
  const seen: string[] = [];
  const receiver = {
    deliver: (message: Outbound) => {
      seen.push(message.event.id);
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ folder: folder.path, receivers: { scheduler: receiver } });
  await parts.apply(bundle);
  await until(
    () => seen.length,
    (length) => length >= count,
  );
  expect(seen).toEqual(ids);
});
