import { describe, expect, it } from "vitest";
import type { SitesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { sample } from "../../support/messages.ts";
import { statement } from "../../support/sabotage.ts";
import { storages } from "../../support/storages.ts";

const years = 5 * 365 * 86_400_000;

describe.each(await storages())("on %s", (storage) => {
  describe("a clock of central that was years ahead, and is set right,", () => {
    it("leaves no silent site online, also after a restart, and one that calls again is online at once", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, leaseSeconds: 60, parts: { clock } });
      const plant = await central.addSite("plant-a");
      const site = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]!;
      const ahead = { issuedAt: Math.floor((Date.now() + years) / 1000) };
      clock.aheadMs = years;
      await plant.call("GET", "bundles/1", undefined, { token: await plant.token(ahead) });
      expect((await site()).condition).toBe("online");
      await central.stop();
      clock.aheadMs = 0;
      await central.restart({ clock });
      expect(await site()).toMatchObject({ condition: "unknown", lastHeardAt: null, leaseEndsAt: null });
      await plant.hello();
      expect((await site()).condition).toBe("online");
      clock.pass(61_000);
      await eventually(site, ({ condition }) => condition === "unknown");
      // what is stored is of now again
      await central.restart({ clock });
      const { condition, lastHeardAt } = await site();
      expect(condition).toBe("unknown");
      expect(Date.parse(lastHeardAt!)).toBeLessThanOrEqual(Date.now());
    });

    it("leaves no site fenced, and hides no backlog that does not move", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await central.addSite("plant-a");
      const condition = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.condition;
      const lane = plant.lane("telemetry");
      await plant.hello([lane]);
      lane.append([sample("plant-a", 1)]);
      await plant.send(lane);
      await statement(central, `UPDATE sites SET fenced_at = ${Date.now() + years}`);
      expect(await condition()).toBe("online");
      const oldestAt = new Date(Date.now() - 60_000).toISOString();
      const lanes = [{ lane: "telemetry", epoch: lane.epoch, last: 10, acknowledged: 1, oldestAt, waitingBytes: 4000 }];
      await plant.status({ lanes });
      await statement(central, `UPDATE sites SET behind = '{"telemetry": ${Date.now() - 60_000}}'`);
      await statement(central, `UPDATE epochs SET moved_at = ${Date.now() + years}`);
      expect(await condition()).toBe("stuck");
      // an instant that nobody can believe is replaced by the next report's
      await statement(central, `UPDATE sites SET behind = '{"telemetry": ${Date.now() + years}}'`);
      await plant.status({ lanes });
      await statement(central, "UPDATE epochs SET moved_at = 0");
      const stored = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0];
      expect((await stored())?.condition).toBe("draining");
    });
  });

  it("a site is silent for as long as it is, whatever central's clock does meanwhile", async () => {
    const clock = settableClock();
    await using central = await startTestCentral({ storage, leaseSeconds: 60, parts: { clock } });
    const plant = await central.addSite("plant-a");
    const condition = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.condition;
    await plant.hello();
    clock.aheadMs = years;
    expect(await condition()).toBe("online");
    clock.pass(61_000);
    clock.aheadMs = -years;
    await eventually(condition, (seen) => seen === "unknown");
  });
});
