import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantDocuments, shortagePayload } from "../support/documents.ts";
import { until } from "../support/process.ts";
import { type SmallDisk, smallDisk } from "../support/small-disk.ts";
import { type CentralProcess, openSystem, reported } from "../support/system.ts";

describe.skipIf(process.getuid?.() !== 0)("a gateway on a disk that is really full", () => {
  const shared = openSystem();
  let central: CentralProcess;
  beforeAll(async () => {
    central = await shared.central();
  });
  afterAll(() => shared[Symbol.asyncDispose]());

  it.each([
    ["lyon", "no room", (disk: SmallDisk) => disk.fill(0)],
    ["porto", "room for a block", (disk: SmallDisk) => disk.fill(8)],
    ["gent", "room for no new file", (disk: SmallDisk) => disk.fillWithFiles()],
  ])("at %s starts with %s, runs its configuration, and takes in again once there is room", async (site, _, fill) => {
    using disk = smallDisk(320, { files: 200 });
    await using system = openSystem();
    const dataDir = join(disk.path, "gateway");
    const gateway = await system.gateway(site, central, { secrets: { terminal: "floor-password" }, dataDir });
    const documents = plantDocuments({ site, wmsUrl: "mqtt://127.0.0.1:1" });
    await reported(central, site, await central.push(site, documents));
    const send = async (url: string, txn: string): Promise<number> =>
      (await fetch(`${url}/in/hooks/shortages`, { method: "POST", body: shortagePayload(txn) })).status;
    expect(await send(gateway.url, "T-1")).toBe(202);
    await gateway.process.kill("SIGKILL");

    fill(disk);
    const again = await gateway.restart();
    // refused, or taken where what it has is enough
    await until(
      () => send(again.url, "T-2"),
      (status) => [202, 503].includes(status),
    );
    const states = async () =>
      (
        await central.get<{ sites: { name: string; connectors: { name: string; state: string; reason?: string }[] }[] }>(
          "/v1/sites",
        )
      ).sites
        .filter(({ name }) => name === site)
        .flatMap(({ connectors }) => connectors.filter(({ name }) => name === "floor").map(({ state }) => state));
    disk.free();
    await until(
      () => send(again.url, "T-3"),
      (status) => status === 202,
    );
    await until(states, ([state]) => state === "up");
    // what a command on the same machine asks
    await until(
      () => JSON.parse(readFileSync(join(dataDir, "local.json"), "utf8")) as { url: string },
      ({ url }) => url === again.url,
    );
    expect(
      again.process.output.filter((line) => /ENOSPC|agent.bundle.refused/.test(line) && line.includes('"level":50')),
    ).toEqual([]);
  });
});
