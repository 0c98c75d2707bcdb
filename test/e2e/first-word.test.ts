import { cpSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { SitesAnswer } from "../../central/http/views.ts";
import { readStored, writeStored } from "../../gateway/settings/stored.ts";
import { eventually } from "../support/central.ts";
import { orderPayload } from "../support/documents.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startHttpPeer } from "../support/http-peer.ts";
import { pick } from "../support/messages.ts";
import { listenerOf, openHq, startCentralAt, startErp, startGateway } from "../support/moving.ts";
import type { RunningProcess } from "../support/process.ts";

const folder = temporaryFolder();
let erp: Awaited<ReturnType<typeof startErp>>;
const disk = join(folder.path, "disk");
const txns = ["T-1", "T-2", "T-3", "T-4", "T-5"];

/** A disk on which deliveries to the ERP wait, last in use before the machine was restarted. */
beforeAll(async () => {
  erp = await startErp();
  await using central = await startCentralAt("sqlite");
  const { dataDir, lyon } = await openHq(central, erp.url, folder.path);
  const hq = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites.find(({ name }) => name === "hq");
  await using gateway = startGateway(dataDir);
  await eventually(
    async () => (await hq())?.reportedRevision,
    (revision) => revision === 1,
  );
  const lane = lyon.lane("transaction");
  lane.append(txns.map((txn) => pick("lyon", txn)));
  await lyon.hello([lane]);
  await lyon.send(lane);
  await eventually(
    async () => (await hq())?.deliveries?.waiting,
    (waiting) => waiting === txns.length,
  );
  await gateway.kill("SIGKILL");
  cpSync(dataDir, disk, { recursive: true });
  using db = new DatabaseSync(join(disk, "queue.sqlite"));
  db.exec("UPDATE boots SET kernel_boot = 'the one before'");
  erp.open();
});
afterAll(async () => {
  await erp[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

beforeEach(() => {
  erp.booked.length = 0;
});

/** A central that answers nothing until it is told what. */
async function startSilentCentral() {
  const asked = Promise.withResolvers<void>();
  const word = Promise.withResolvers<{
    status: number;
    code: string;
    moved?: true;
  }>();
  const peer = await startHttpPeer(async (_, response) => {
    asked.resolve();
    const { status, ...problem } = await word.promise;
    response.writeHead(status, { "content-type": "application/problem+json" }).end(
      JSON.stringify({
        type: "about:blank",
        title: "no",
        status,
        ...problem,
      }),
    );
  });
  return Object.assign(peer, { asked: asked.promise, say: word.resolve });
}

async function copyFor(centralUrl: string, name: string): Promise<string> {
  const dataDir = join(folder.path, name);
  cpSync(disk, dataDir, { recursive: true });
  const { site = "" } = readStored(dataDir) ?? {};
  writeStored(dataDir, { site, centralUrl });
  return dataDir;
}

/** Its connector is up, and it has taken in and flushed as much as lets a delivery that does not wait be made many times. */
async function hasWorked(gateway: RunningProcess): Promise<void> {
  const listener = await listenerOf(gateway);
  await eventually(
    async () =>
      (
        (await (await fetch(`${listener}/health`)).json()) as {
          connectors: { state: string }[];
        }
      ).connectors,
    (connectors) => connectors.length > 0 && connectors.every(({ state }) => state === "up"),
  );
  for (let id = 1; id <= 40; id++) {
    const body = JSON.stringify(orderPayload({ id }));
    expect((await fetch(`${listener}/in/erp/orders`, { method: "POST", body })).status).toBe(202);
  }
}

it("P3: delivers nothing of what waited before central has said that it is still the site's gateway", async () => {
  await using central = await startSilentCentral();
  await using gateway = startGateway(await copyFor(central.url, "left-behind"));
  await central.asked;
  await hasWorked(gateway);
  expect(erp.booked).toEqual([]);
  central.say({ status: 401, code: "key-unknown", moved: true });
  await gateway.logged("link.session.fenced");
  await hasWorked(gateway);
  expect(erp.booked).toEqual([]);
});

it("P3: delivers nothing either where it is stopped while it waits for that", async () => {
  await using central = await startSilentCentral();
  await using gateway = startGateway(await copyFor(central.url, "stopped"));
  await central.asked;
  await hasWorked(gateway);
  expect(await gateway.kill("SIGTERM")).toBe(0);
  expect(erp.booked).toEqual([]);
});

it("P5: delivers all of it in order where central denies it for another reason", async () => {
  await using central = await startSilentCentral();
  central.say({ status: 401, code: "key-unknown" });
  await using gateway = startGateway(await copyFor(central.url, "denied"));
  await gateway.logged("link.hello.refused");
  await eventually(
    async () => erp.booked.length,
    (count) => count >= txns.length,
  );
  expect(erp.booked).toEqual(txns);
});
