import { expect, it } from "vitest";
import type { SitesAnswer, SiteView } from "../../central/http/views.ts";
import type { Document } from "../../protocol/index.ts";
import { plantDocuments } from "../support/documents.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/process.ts";
import { requireService } from "../support/services.ts";
import { type CentralProcess, openSystem } from "../support/system.ts";

const secrets = { terminal: "let me in" };

function documents(wmsUrl: string, purpose: string, watchedFor: string): Document[] {
  const [template, site] = plantDocuments({ site: "lyon", wmsUrl }) as [Document, Document];
  Object.assign(site.spec, { watch: { for: watchedFor } });
  Object.assign((template.spec as { flows: { picks: object } }).flows.picks, { purpose });
  return [template, site];
}

async function lyon(central: CentralProcess, judge: (site: SiteView) => boolean): Promise<SiteView> {
  const ask = async () => (await central.get<SitesAnswer>("/v1/sites")).sites.find(({ name }) => name === "lyon");
  return (await until(ask, (site) => site !== undefined && judge(site))) as SiteView;
}

it.skipIf(!(await requireService("mosquitto")))(
  "puts the last good configuration back by itself, when a connector does not come up and when the process does not stay up",
  async () => {
    await using broker = await startMosquitto();
    await using system = openSystem();
    const central = await system.central();
    let gateway = await system.gateway("lyon", central, { secrets });
    const push = (wmsUrl: string, purpose: string, watchedFor = "3s") =>
      central.push("lyon", documents(wmsUrl, purpose, watchedFor));

    await push(broker.url, "one");
    await lyon(central, ({ configurationState }) => configurationState === "active");
    await push("mqtt://127.0.0.1:1", "two");
    const back = await lyon(central, ({ configurationState }) => configurationState === "rolled-back");
    expect(back).toMatchObject({ desiredRevision: 2, reportedRevision: 1 });
    expect(back.configurationReason).toContain('revision 2 was rolled back: the connector "wms", which it changed, is down');
    expect(back.reason).toContain("revision 2 was rolled back");
    await lyon(central, ({ connectors }) => connectors.find(({ name }) => name === "wms")?.state === "up");

    await push(broker.url, "three", "10m");
    await lyon(central, (site) => site.reportedRevision === 3 && site.configurationState === "watching");
    for (let crash = 1; crash <= 2; crash++) {
      await gateway.process.kill("SIGKILL");
      gateway = await gateway.restart();
    }
    const given = await lyon(central, (site) => site.reportedRevision === 1 && site.configurationState === "rolled-back");
    expect(given.configurationReason).toContain("process ended 2 times while it was watched");

    await push(broker.url, "four");
    await lyon(central, (site) => site.reportedRevision === 4 && site.configurationState === "active");
  },
);
