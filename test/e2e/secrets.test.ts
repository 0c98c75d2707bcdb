import { connectAsync, type MqttClient } from "mqtt";
import { expect, it } from "vitest";
import type { SitesAnswer } from "../../central/http/views.ts";
import type { Document } from "../../protocol/index.ts";
import { freePort, startMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/process.ts";
import { type CentralProcess, openSystem, reported } from "../support/system.ts";

const about = { owner: "integration@example.com", purpose: "test" };

function documents(wmsUrl: string, floorPort: number): Document[] {
  const flow = { purpose: "test", as: "shortage.reported", map: "payload", to: [{ central: true }] };
  return [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: { name: "plant", ...about },
      spec: {
        connectors: {
          wms: { type: "mqtt", url: wmsUrl, username: "gateway", password: { secret: "wms" }, grants: { subscribe: ["wms/#"] } },
          other: {
            type: "mqtt",
            url: wmsUrl,
            username: "gateway",
            password: { secret: "other" },
            grants: { subscribe: ["other/#"] },
          },
          floor: {
            type: "mqtt-broker",
            port: floorPort,
            users: [{ username: "terminal", password: { secret: "terminal" }, publish: ["floor/#"] }],
            grants: { subscribe: ["floor/#"] },
          },
        },
        flows: {
          wms: { ...flow, from: { connector: "wms", topic: "wms/shortages" } },
          other: { ...flow, from: { connector: "other", topic: "other/shortages" } },
          floor: { ...flow, from: { connector: "floor", topic: "floor/shortages" } },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: { name: "lyon", ...about, labels: { environment: "dev" } },
      spec: { template: "plant", grants: { send: ["shortage.reported"] } },
    },
  ] as unknown as Document[];
}

async function put(central: CentralProcess, token: string, name: string, body: object): Promise<number> {
  const answer = await fetch(`${central.url}/v1/secrets/${name}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.status;
}

it("a new value reaches a plant without a rollout: what presents it connects again, what judges by it takes both, all else goes on", async () => {
  await using mosquitto = await startMosquitto();
  await using system = openSystem();
  const central = await system.central();
  const { readFileSync } = await import("node:fs");
  const token = readFileSync(`${central.dataDir}/admin.token`, "utf8").trim();
  for (const name of ["wms", "other", "terminal"]) expect(await put(central, token, name, { value: `first ${name}` })).toBe(200);
  await system.gateway("lyon", central);
  const floorPort = await freePort();
  await reported(central, "lyon", await central.push("lyon", documents(mosquitto.url, floorPort)));
  const connectors = async () => (await central.get<SitesAnswer>("/v1/sites")).sites[0]?.connectors ?? [];
  const since = (all: Awaited<ReturnType<typeof connectors>>) => Object.fromEntries(all.map((one) => [one.name, one.since]));
  const up = await until(connectors, (all) => all.length === 3 && all.every(({ state }) => state === "up"));
  const before = since(up);

  const login = (password: string): Promise<MqttClient> =>
    connectAsync(`mqtt://127.0.0.1:${floorPort}`, { username: "terminal", password, reconnectPeriod: 0 });
  const device = await login("first terminal");
  let dropped = false;
  device.on("close", () => {
    dropped = true;
  });

  expect(await put(central, token, "terminal", { value: "second terminal", overlap: "1h" })).toBe(200);
  expect(await put(central, token, "wms", { value: "second wms" })).toBe(200);
  const after = await until(connectors, (all) =>
    all.some((one) => one.name === "wms" && one.state === "up" && one.since !== before.wms),
  );
  expect(since(after)).toMatchObject({ other: before.other, floor: before.floor });
  const taken = await until(
    () => login("second terminal").catch(() => undefined),
    (client) => client !== undefined,
  );
  await taken?.endAsync();
  await (await login("first terminal")).endAsync();
  await expect(login("third terminal")).rejects.toThrow();
  expect(dropped).toBe(false);
  await device.endAsync();

  const uses = await until(
    () => central.get<{ uses: { site: string; version: number; held: boolean }[] }>("/v1/secrets/terminal/uses"),
    ({ uses }) => uses[0]?.held === true,
  );
  expect(uses.uses).toEqual([{ site: "lyon", paths: ["connectors.floor.users.0.password"], version: 2, held: true }]);
});
