import { describe, expect, it } from "vitest";
import type { CompletenessAnswer, ExceptionView, SitesAnswer } from "../../../central/http/views.ts";
import type { LogFields, Logger } from "../../../central/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { sample } from "../../support/messages.ts";
import { statement } from "../../support/sabotage.ts";
import { storages } from "../../support/storages.ts";

const exceptions = async (central: TestCentral, site = "plant-a") =>
  (await central.admin<{ exceptions: ExceptionView[] }>("GET", `/v1/exceptions?site=${site}`)).body.exceptions;
const kinds = async (central: TestCentral, kind: string) => (await exceptions(central)).filter((each) => each.kind === kind);

/** Keeps what is logged at warn and error. */
function keepingLog(): Logger & { readonly kept: LogFields[] } {
  const kept: LogFields[] = [];
  const keep = (fields: LogFields): void => void kept.push(fields);
  return { kept, debug: () => {}, info: () => {}, warn: keep, error: keep };
}

describe.each(await storages())("on %s", (storage) => {
  it("tells of each kind of hole once a lane, with the number of messages and the last range", async () => {
    const log = keepingLog();
    await using central = await startTestCentral({ storage, parts: { log } });
    const plant = await central.addSite("plant-a");
    const lane = plant.lane("telemetry");
    await plant.hello([lane]);
    for (let frame = 0; frame < 6; frame++) lane.append(Array.from({ length: 100 }, () => sample("plant-a", frame)));
    for (const [from, reason] of [
      [101, "age"],
      [301, "age"],
      [401, "damaged"],
      [501, "lost-by-receiver"],
    ] as const)
      lane.discard(from, from + 99, reason);
    for (const start of lane.starts) expect((await plant.send(lane, lane.batch(start, start + 99))).status).toBe(200);
    expect(await kinds(central, "discarded")).toMatchObject([
      { lane: "telemetry", target: "age", severity: "warn", count: 200, range: { first: 301, last: 400 } },
    ]);
    expect(await kinds(central, "damaged")).toMatchObject([{ severity: "error", count: 100, range: { first: 401, last: 500 } }]);
    expect(await kinds(central, "lost-by-receiver")).toMatchObject([{ severity: "error", count: 100 }]);
    const logged = log.kept.map(({ event }) => event).filter((event) => event.startsWith("alarm."));
    expect(logged.sort()).toEqual(["alarm.damaged.raised", "alarm.discarded.raised", "alarm.lost-by-receiver.raised"]);
    const { lanes } = (await central.admin<CompletenessAnswer>("GET", "/v1/completeness?site=plant-a")).body;
    expect(lanes[0]?.summary).toBe(
      "1 to 600 recorded; 301–400 discarded by budget (age); 401–500 damaged on the gateway's disk; 501–600 lost by central after it had acknowledged them; 100 more lost earlier; nothing missing",
    );
    const [site] = (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites;
    expect(site?.alarms.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["damaged", "lost-by-receiver", "discarded"]));
    expect(site?.lanes[0]?.summary).toContain("1 to 600 recorded; 501–600 lost by central");
  });

  it("tells of a lane's new epoch what of the one before is not recorded, and of one that names none", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await central.addSite("plant-a");
    const first = plant.lane("telemetry", { epoch: "e-1" });
    await plant.hello([first]);
    expect(await kinds(central, "epoch-changed")).toEqual([]);
    first.append([sample("plant-a", 1), sample("plant-a", 2)]);
    await plant.send(first);
    await plant.hello([first]);
    expect(await kinds(central, "epoch-changed")).toEqual([]);
    await plant.hello([
      plant.lane("telemetry", { epoch: "e-2", firstSequence: 6, predecessor: { epoch: "e-1", lastSequence: 5 } }),
    ]);
    await plant.hello([plant.lane("telemetry", { epoch: "e-3" })]);
    const found = (await kinds(central, "epoch-changed")).toSorted((a, b) => (a.target! < b.target! ? -1 : 1));
    expect(found.map(({ target, severity, reason }) => [target, severity, reason])).toEqual([
      ["e-2", "error", "lane telemetry goes on as epoch e-2 at 6, after epoch e-1, of which 3 to 5 are not recorded so far"],
      [
        "e-3",
        "error",
        "lane telemetry goes on as epoch e-3 at 1 and names none before it; central knew epoch e-2, recorded up to 5: what came after 5 is lost, and how much that is is not known: no report of its gateway spoke of it",
      ],
    ]);
  });

  it("shows each site's alarms, however many another site raises, and gives what repeats without end few rows", async () => {
    await using central = await startTestCentral({ storage });
    const [noisy, quiet] = [await central.addSite("plant-a"), await central.addSite("plant-b")];
    await quiet.hello();
    await quiet.status({ disk: { state: "refusing", freeBytes: 0 } });
    for (let hello = 0; hello < 10; hello++)
      await noisy.hello(Array.from({ length: 16 }, (_, index) => noisy.lane("telemetry", { epoch: `e-${hello}-${index}` })));
    const epochs = await kinds(central, "epoch-changed");
    expect(epochs).toHaveLength(21);
    expect(epochs.reduce((sum, { count }) => sum + count, 0)).toBe(159);
    expect(epochs.find(({ target }) => target === "(others)")).toMatchObject({
      count: 139,
      reason: expect.stringContaining("e-9-"),
    });
    const crowd = Array.from(
      { length: 1100 },
      (_, index) => `('plant-a', 'clone', '', '', 's-${index}', 'error', '', 1, 1, ${Date.now() + 1000})`,
    );
    await statement(
      central,
      `INSERT INTO exceptions (site, kind, lane, type, target, severity, reason, count, first_at, last_at) VALUES ${crowd.join()}`,
    );
    const sites = (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites;
    expect(sites.map(({ name, alarms }) => [name, alarms.length])).toEqual([
      ["plant-a", 5],
      ["plant-b", 1],
    ]);
    const all = (await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions")).body.exceptions;
    expect(all.filter(({ site }) => site === "plant-b")).toMatchObject([{ kind: "disk" }]);
  });

  it("shows what stands for as long as it does, and what has happened for a day", async () => {
    let ahead = 0;
    await using central = await startTestCentral({
      storage,
      parts: { clock: { ...systemClock, now: () => systemClock.now() + ahead } },
    });
    const plant = await central.addSite("plant-a");
    await plant.hello([plant.lane("telemetry")]);
    await plant.hello([plant.lane("telemetry")]);
    await plant.status({ disk: { state: "refusing", freeBytes: 0 } });
    const shown = async () =>
      (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.alarms.map(({ kind }) => kind).sort();
    expect(await shown()).toEqual(["disk", "epoch-changed"]);
    ahead = 25 * 3_600_000;
    expect(await shown()).toEqual(["disk"]);
  });

  it("tells of a clone that called, and of a full disk until it has room again", async () => {
    const log = keepingLog();
    await using central = await startTestCentral({ storage, parts: { log } });
    const plant = await central.addSite("plant-a");
    await plant.hello([], "boot-1");
    const older = plant.session;
    await plant.hello([], "boot-2");
    for (let call = 0; call < 3; call++) expect((await plant.status({ session: older })).body.code).toBe("fenced");
    expect(await kinds(central, "clone")).toMatchObject([{ target: older, count: 3, severity: "error" }]);
    await plant.status({ disk: { state: "refusing", freeBytes: 1024 * 1024 } });
    await plant.status({ disk: { state: "refusing", freeBytes: 0 } });
    expect(await kinds(central, "disk")).toMatchObject([
      { count: 2, endedAt: null, reason: expect.stringContaining("0 MiB free") },
    ]);
    await plant.status();
    expect((await kinds(central, "disk"))[0]?.endedAt).toEqual(expect.any(String));
    await plant.status({ disk: { state: "discarding", freeBytes: 0 } });
    expect(await kinds(central, "disk")).toMatchObject([{ count: 3, endedAt: null }]);
    const logged = log.kept.map(({ event }) => event).filter((event) => event.startsWith("alarm."));
    expect(logged).toEqual(["alarm.clone.raised", "alarm.disk.raised", "alarm.disk.raised"]);
  });
});
