import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { odooKind } from "../../../../gateway/connector/odoo/kind.ts";
import { type Document, makeEvent } from "../../../../protocol/index.ts";
import { plantDocuments } from "../../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../../support/gateway-parts.ts";
import { until } from "../../../support/process.ts";
import { deliveries, recorded } from "../../../support/queue-on-disk.ts";
import { startScrapServer } from "./scrap-server.ts";

/** Scrap is booked in Odoo, by the gateway's own host and queue. */
function erpSite(url: string): Document[] {
  const documents = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" });
  Object.assign(documents[0]!.spec as object, {
    connectors: {
      erp: { type: "odoo", url, database: "plant", apiKey: { secret: "odoo" }, warehouses: ["LYO"], units: { kg: "KGM" } },
    },
    flows: {
      scrap: {
        purpose: "Scrap into the books",
        from: { central: "scrap.reported" },
        to: [{ connector: "erp", operation: "scrap.book" }],
        retry: { attempts: 3, base: "5ms", cap: "10ms" },
        onExhausted: "park",
      },
    },
  });
  Object.assign(documents[1]!.spec as object, { grants: { send: [], receive: ["scrap.reported"] } });
  return documents;
}

const open = () => openParts({ kinds: { odoo: async () => odooKind } });

function putKey({ dataDir }: Parts): void {
  mkdirSync(join(dataDir, "secrets"), { recursive: true });
  writeFileSync(join(dataDir, "secrets", "odoo"), "k3y\n");
}

async function report(parts: Parts): Promise<void> {
  const qty = { value: "0.4", unitCode: "KGM", scale: 1 };
  const data = {
    txnId: "S-12",
    moId: "hq-mo-4",
    item: "RM-ALU",
    qty,
    reason: { code: "burr" },
    reportedAt: "2026-11-24T08:00:00.000Z",
  };
  const event = makeEvent("scrap.reported", data, { id: "m1", site: "porto", connector: "floor", recordedAt: 1_790_000_000_000 });
  await parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(event) }] });
}

const ended = (parts: Parts) =>
  until(
    () => recorded(parts).map(({ data }) => data.outcome as string),
    (found) => found.length > 0,
  );

it("keeps what is to be booked while the key's file is missing, says so, and books it once the key is there", async () => {
  await using odoo = await startScrapServer();
  await using parts = await open();
  await parts.apply(await bundleOf(erpSite(odoo.url), "lyon"));
  await report(parts);
  // an attempt is counted before it is made: its reason comes with its outcome
  const [row] = await until(
    () => deliveries(parts),
    ([found]) => (found?.attempts ?? 0) > 0 && Boolean(found?.reason),
  );
  expect(row).toMatchObject({ failures: 0, reason: expect.stringContaining('the secret "odoo" is missing') });
  expect(parts.host.reports()).toMatchObject([{ state: "down", reason: expect.stringContaining("put it into") }]);
  putKey(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
});

it("books once what Odoo commits long after its answer was lost, and asks nobody", async () => {
  await using odoo = await startScrapServer();
  odoo.onValidate((commit) => {
    let looks = 0;
    odoo.onLook(() => {
      looks += 1;
      if (looks === 12) commit();
    });
    return "lose";
  });
  await using parts = await open();
  putKey(parts);
  await parts.apply(await bundleOf(erpSite(odoo.url), "lyon"));
  await until(
    () => parts.host.reports(),
    ([erp]) => erp?.state === "up",
  );
  await report(parts);
  expect(await ended(parts)).toEqual(["delivered"]);
  expect(odoo.validations()).toBe(1);
});
