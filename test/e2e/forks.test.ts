import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { MessagesAnswer, SitesAnswer } from "../../central/http/views.ts";
import { plantDocuments, shortagePayload } from "../support/documents.ts";
import { startPlantgate, until } from "../support/process.ts";
import { type CentralProcess, type GatewayProcess, openSystem, reported, type System } from "../support/system.ts";

const secrets = { terminal: "floor-password" };

async function startPlant(system: System) {
  const central = await system.central();
  const lyon = await system.gateway("lyon", central, { secrets });
  await reported(central, "lyon", await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9" })));
  return { central, lyon };
}

async function report(gateway: { url: string }, txn: string): Promise<number> {
  const body = shortagePayload(txn);
  return (await fetch(`${gateway.url}/in/hooks/shortages`, { method: "POST", body })).status;
}
const recorded = async (central: CentralProcess): Promise<string[]> =>
  (await central.get<MessagesAnswer>("/v1/messages?type=mfg.shortage.reported.v1&limit=500")).messages.map(
    ({ event }) => (event.data as { shortageId: string }).shortageId,
  );
const site = async (central: CentralProcess) =>
  (await central.get<SitesAnswer>("/v1/sites")).sites.find((entry) => entry.name === "lyon")!;

async function stopAndCopy(gateway: GatewayProcess, system: System): Promise<string> {
  await gateway.process.kill("SIGTERM");
  const copy = join(system.folder, "copy");
  cpSync(gateway.dataDir, copy, { recursive: true });
  return copy;
}

it("swallows and overwrites nothing when a gateway's disk is set back to an older state", async () => {
  await using system = openSystem();
  const { central, lyon } = await startPlant(system);
  await report(lyon, "S-1");
  await until(
    () => recorded(central),
    (found) => found.length === 1,
  );
  const copy = await stopAndCopy(lyon, system);
  const later = await lyon.restart();
  for (const txn of ["S-2", "S-3"]) expect(await report(later, txn)).toBe(202);
  await until(
    () => recorded(central),
    (found) => found.length === 3,
  );
  const before = (await site(central)).lanes.find((lane) => lane.lane === "transaction")!;
  await later.process.kill("SIGTERM");
  rmSync(lyon.dataDir, { recursive: true });
  cpSync(copy, lyon.dataDir, { recursive: true });
  const restored = await lyon.restart();
  for (const txn of ["S-4", "S-3"]) expect(await report(restored, txn)).toBe(202);
  await until(
    () => recorded(central),
    (found) => found.includes("S-4"),
  );
  expect((await recorded(central)).toSorted()).toEqual(["S-1", "S-2", "S-3", "S-4"]);
  await until(
    async () => (await site(central)).lanes.find((lane) => lane.lane === "transaction")!.epoch,
    (epoch) => epoch !== before.epoch,
  );
});

it("stops link and deliveries of the older of two that run as one site, keeps its intake, and does not say hello again after a restart", async () => {
  await using system = openSystem();
  const { central, lyon } = await startPlant(system);
  const copy = await stopAndCopy(lyon, system);
  const original = await lyon.restart();
  await original.process.logged("link.session.began");
  await using clone = startPlantgate([
    "gateway",
    "--site",
    "lyon",
    "--data",
    copy,
    "--central",
    central.url,
    "--central-key",
    join(copy, "central.pub"),
    "--http-port",
    "0",
  ]);
  const { listener } = (await clone.logged("gateway.process.started")) as { listener: string };
  await original.process.logged("link.session.fenced");
  expect(await report(original, "S-original")).toBe(202);
  expect(await report({ url: listener }, "S-clone")).toBe(202);
  await until(
    () => recorded(central),
    (found) => found.includes("S-clone"),
  );
  expect(await recorded(central)).toEqual(["S-clone"]);
  await original.process.kill("SIGTERM");
  const again = await lyon.restart();
  await again.process.logged("gateway.start.fenced");
  expect(await report(again, "S-later")).toBe(202);
  expect(await recorded(central)).toEqual(["S-clone"]);
});

it("lets one process at a time use a data folder", async () => {
  await using system = openSystem();
  const { central, lyon } = await startPlant(system);
  await using second = startPlantgate([
    "gateway",
    "--site",
    "lyon",
    "--data",
    lyon.dataDir,
    "--central",
    central.url,
    "--central-key",
    join(lyon.dataDir, "central.pub"),
    "--http-port",
    "0",
  ]);
  expect(await second.ended).toBe(1);
  expect(second.output.join("\n")).toContain("another gateway runs on the data folder");
});

it("gives a central that was set back what it had acknowledged again, from what was kept for its recovery point", async () => {
  await using system = openSystem();
  const { central, lyon } = await startPlant(system);
  const port = Number(new URL(central.url).port);
  await report(lyon, "S-1");
  await until(
    () => recorded(central),
    (found) => found.length === 1,
  );
  await central.process.kill("SIGTERM");
  const backup = join(system.folder, "backup");
  cpSync(central.dataDir, backup, { recursive: true });
  const later = await system.central({ port });
  expect(await report(lyon, "S-2")).toBe(202);
  await until(
    () => recorded(later),
    (found) => found.length === 2,
  );
  await later.process.kill("SIGTERM");
  rmSync(central.dataDir, { recursive: true });
  cpSync(backup, central.dataDir, { recursive: true });
  expect(await report(lyon, "S-3")).toBe(202);
  const restored = await system.central({ port });
  expect(await lyon.process.logged("uplink.lane.goesBack")).toMatchObject({ lane: "transaction" });
  await until(
    () => recorded(restored),
    (found) => found.includes("S-3"),
  );
  expect(await recorded(restored)).toEqual(["S-1", "S-2", "S-3"]);
});
