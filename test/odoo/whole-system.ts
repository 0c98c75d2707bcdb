import { join } from "node:path";
import type { OrderView, SitesAnswer, SiteView } from "../../central/http/views.ts";
import { filesOf, writeConfiguration } from "../../packaging/demo/site-documents.ts";
import { freePort } from "../support/mosquitto.ts";
import { until } from "../support/process.ts";
import { type GatewayProcess, openSystem, reported } from "../support/system.ts";
import { type PlantPeers, startPlantPeers } from "./plant-peers.ts";

export type PlantName = "lyon" | "porto";

/** Central and the gateways of both plants and of the ERP's site, each a process, with the demo's templates. */
export interface WholeSystem extends AsyncDisposable {
  readonly peers: Readonly<Record<PlantName, PlantPeers>>;
  sites(): Promise<readonly SiteView[]>;
  /** The order as central tells it. @throws before central knows it */
  order(moId: string): Promise<OrderView>;
  /** Kills the gateway of the ERP's site with SIGKILL, and starts it again. */
  killErpGateway(): Promise<void>;
}

/** Starts it all; resolves when each site runs its configuration and the connectors named here are up. Presses and schedulers are away. */
export async function startWholeSystem(erp: { url: string; database: string; apiKey: string }): Promise<WholeSystem> {
  await using stack = new AsyncDisposableStack();
  const peers = { lyon: stack.use(await startPlantPeers("lyon")), porto: stack.use(await startPlantPeers("porto")) };
  const system = stack.use(openSystem());
  const floors = { lyon: await freePort(), porto: await freePort() };
  const nobody = async (protocol: string): Promise<string> => `${protocol}://127.0.0.1:${await freePort()}`;
  const plantParameters = async (site: PlantName) => ({
    wmsUrl: peers[site].brokerUrl,
    schedulerUrl: await nobody("http"),
    floorPort: floors[site],
    presses: [{ name: "press-1", endpoint: await nobody("opc.tcp") }],
  });
  const folder = join(system.folder, "config");
  writeConfiguration(folder, {
    hq: { erpUrl: erp.url, odooDatabase: erp.database, pollEvery: "2s", settle: "15s" },
    lyon: await plantParameters("lyon"),
    porto: await plantParameters("porto"),
  });

  const central = await system.central();
  await system.gateway("lyon", central, { secrets: peers.lyon.secrets });
  await system.gateway("porto", central, { secrets: peers.porto.secrets });
  let hq: GatewayProcess = await system.gateway("hq", central, { secrets: { odoo: erp.apiKey } });
  const sites = async () => (await central.get<SitesAnswer>("/v1/sites")).sites;
  // the plants first: what the ERP releases needs somebody to consume it
  for (const site of ["lyon", "porto", "hq"] as const) {
    const answer = await central.post<{ revision: number }>(`/v1/sites/${site}/revisions`, { files: filesOf(folder, site) });
    if (answer.status >= 300) throw new Error(`push of ${site}: ${JSON.stringify(answer)}`);
    await reported(central, site, answer.body.revision);
  }
  const needed = { lyon: ["wms", "floor"], porto: ["wms", "floor"], hq: ["erp"] };
  await until(
    sites,
    (views) =>
      Object.entries(needed).every(([site, names]) =>
        names.every((name) =>
          views.find((view) => view.name === site)?.connectors.some((each) => each.name === name && each.state === "up"),
        ),
      ),
    60_000,
  );
  for (const site of ["lyon", "porto"] as const) await peers[site].connectTerminals(`mqtt://127.0.0.1:${floors[site]}`);
  const owned = stack.move();
  return {
    peers,
    sites,
    order: (moId) => central.get<OrderView>(`/v1/orders/${encodeURIComponent(moId)}`),
    async killErpGateway() {
      await hq.process.kill("SIGKILL");
      hq = await hq.restart();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
