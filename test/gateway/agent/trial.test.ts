import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Vitals } from "../../../gateway/agent/watch.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { CentralOfBundles, clockOfWaits, openAgent, Plant } from "../../support/agent.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** A gateway on which revision 1 does well; `start` begins its process anew. */
async function openSite() {
  const folder = temporaryFolder();
  const central = new CentralOfBundles();
  const plant = new Plant();
  const open = () => openAgent({ file: join(folder.path, "agent.db"), central, plant, clock: clockOfWaits() });
  let opened = await open();
  await opened.start();
  const one = await central.has(1, "one");
  await opened.dealsWith(one);
  return {
    ...{ central, plant, one },
    get agent() {
      return opened.agent;
    },
    get documents() {
      return opened.documents;
    },
    dealsWith: (desired: typeof one) => opened.dealsWith(desired),
    sees: (judge: Parameters<typeof opened.sees>[0]) => opened.sees(judge),
    /** As it is seen while the process stands still: nothing is looked at meanwhile. */
    async ends(how: "stopped" | "killed"): Promise<void> {
      if (how === "stopped") await opened.stop();
      else opened.kill();
      await opened.ended;
    },
    async starts(): Promise<void> {
      opened = await open();
      await opened.agent.resume();
    },
    runs: () => opened.run(),
    async [Symbol.asyncDispose](): Promise<void> {
      await opened.stop();
      folder[Symbol.dispose]();
    },
  };
}
const tallies = (of: string, recorded: number, deadLetters: number): Vitals["tallies"] => [{ of, recorded, deadLetters }];

describe("a revision on trial", () => {
  it("is watched, and becomes the last good one when its time is over", async () => {
    await using site = await openSite();
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ state }) => state === "watching");
    expect(site.agent.report).toMatchObject({ reported: 2, digest: two.digest });
    expect(await site.documents.state()).toMatchObject({ good: site.one, trial: { ...two, starts: 1 } });
    await site.sees(({ state }) => state === "active");
    expect(await site.documents.state()).toEqual({ desired: two, good: two, before: site.one, tallies: [] });
  });

  it("P8: is noted as given back before the last good one is put into effect", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    const found: unknown[] = [];
    site.plant.step = async (what) => {
      if (what !== "apply begins") return;
      const { trial, refused } = await site.documents.state();
      found.push([trial?.revision, refused?.how]);
    };
    await site.dealsWith(await site.central.has(2, "two"));
    expect(found).toEqual([
      [2, undefined],
      [undefined, "rolled-back"],
    ]);
  });

  it("is rolled back when a connector that it changed does not come up again, and is not tried again", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    const two = await site.central.has(2, "two");
    await site.dealsWith(two);
    const reason = 'revision 2 was rolled back: the connector "wms", which it changed, is down: wms is broken';
    expect(site.agent.report).toMatchObject({ reported: 1, digest: site.one.digest, state: "rolled-back", reason, refused: two });
    // what waits for what only the newer one has is kept for a better one
    expect([site.plant.running, site.plant.instead]).toEqual(["1:one", ["1:one"]]);
    site.agent.want({ ...two });
    await site.ends("stopped");
    await site.starts();
    site.agent.want(two);
    site.runs();
    expect(site.agent.report).toMatchObject({ state: "rolled-back", refused: two });
    expect([site.plant.running, site.central.fetched]).toEqual(["1:one", [1, 2]]);
  });

  it("is tried again when central wanted something else meanwhile", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    const two = await site.central.has(2, "two");
    await site.dealsWith(two);
    await site.dealsWith(site.one);
    expect(site.agent.report.refused).toBeUndefined();
    expect(site.plant.applied).toEqual(["1:one", "2:two", "1:one"]);
    site.plant.effects = {};
    await site.dealsWith(two);
    expect(site.agent.report).toMatchObject({ reported: 2, state: "active" });
  });

  it("is no worse for a connector that was down before, or that it did not change", async () => {
    await using site = await openSite();
    site.plant.connectors = { wms: "down", floor: "up", hooks: "up" };
    site.plant.effects = { two: { wms: "down", floor: "down" } };
    await site.dealsWith(await site.central.has(2, "two"));
    expect(site.agent.report).toMatchObject({ reported: 2, state: "active" });
  });

  it("is rolled back at once when what used to pass becomes a dead letter, however much else passes", async () => {
    await using site = await openSite();
    site.plant.tallies = [...tallies("in picks", 99, 1), ...tallies("in samples", 1_000_000, 0)];
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ state }) => state === "watching");
    site.plant.tallies = [...tallies("in picks", 99, 4), ...tallies("in samples", 1_100_000, 0)];
    expect(site.agent.report.since).toEqual({ recorded: 100_000, deadLetters: 3 });
    await site.sees(({ state }) => state === "rolled-back");
    expect(site.agent.report.reason).toContain('3 of 3 inputs of the flow "picks" became dead letters, 1 % before');
  });

  it("may have as many dead letters as there were before", async () => {
    await using site = await openSite();
    site.plant.tallies = tallies("in picks", 80, 20);
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    site.plant.tallies = tallies("in picks", 158, 42);
    await site.sees(({ state }) => state !== "watching");
    expect(site.agent.report).toMatchObject({ reported: 2, state: "active" });
  });

  it("is judged as well in the first moments of a start, when connectors are on their way up", async () => {
    await using site = await openSite();
    site.plant.connectors = { wms: "starting", floor: "up", hooks: "up" };
    site.plant.effects = { two: { wms: "down" } };
    await site.dealsWith(await site.central.has(2, "two"));
    expect(site.agent.report).toMatchObject({ reported: 1, state: "rolled-back" });
  });

  it("is compared with how the good one did before the process was stopped", async () => {
    await using site = await openSite();
    site.plant.tallies = tallies("in picks", 80, 20);
    await site.ends("stopped");
    site.plant.tallies = [];
    await site.starts();
    site.runs();
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    site.plant.tallies = tallies("in picks", 40, 10);
    await site.sees(({ state }) => state !== "watching");
    expect(site.agent.report).toMatchObject({ reported: 2, state: "active" });
  });

  it("is rolled back at the next start when the process ended twice while it was watched", async () => {
    await using site = await openSite();
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ state }) => state === "watching");
    await site.ends("killed");
    await site.starts();
    expect([site.plant.running, site.agent.report.state]).toEqual(["2:two", "watching"]);
    await site.ends("killed");
    await site.starts();
    expect([site.plant.running, site.agent.report.state]).toEqual(["1:one", "rolled-back"]);
    expect(site.agent.report).toMatchObject({ refused: two, reason: expect.stringContaining("ended 2 times") });
    site.runs();
  });

  it("is started however often the process ended, where there is none to go back to", async () => {
    using folder = temporaryFolder();
    const central = new CentralOfBundles();
    const plant = new Plant();
    const start = async () => {
      const opened = await openAgent({ file: join(folder.path, "agent.db"), central, plant, clock: clockOfWaits() });
      await opened.start();
      return opened;
    };
    let opened = await start();
    opened.agent.want(await central.has(1, "one"));
    await opened.sees(({ state }) => state === "watching");
    for (let kills = 0; kills < 5; kills++) {
      opened.kill();
      await opened.ended;
      opened = await start();
      expect([plant.running, opened.agent.report.state]).toEqual(["1:one", "watching"]);
    }
    opened.agent.want(await central.has(2, "two"));
    await opened.sees(({ reported, state }) => reported === 2 && state === "active");
    await opened.stop();
  });

  it("is watched on, and to its end, after stops that somebody asked for, however many", async () => {
    await using site = await openSite();
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    for (let restart = 0; restart < 4; restart++) {
      await site.ends("stopped");
      await site.starts();
      expect([site.plant.running, site.agent.report.state]).toEqual(["2:two", "watching"]);
    }
    site.runs();
    await site.sees(({ state }) => state === "active");
    expect(site.agent.report.reported).toBe(2);
  });

  it("knows after a restart what was up before it", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    await site.ends("stopped");
    await site.starts();
    site.runs();
    await site.sees(({ state }) => state === "rolled-back");
    expect(site.plant.running).toBe("1:one");
  });

  it("gives way to a newer one, and the way back still leads to the last good one", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" }, three: { wms: "down" } };
    const three = await site.central.has(3, "three");
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    await site.dealsWith(three);
    expect(site.agent.report).toMatchObject({ reported: 1, state: "rolled-back", refused: three });
    expect(site.plant.applied).toEqual(["1:one", "2:two", "3:three", "1:one"]);
  });

  it("that is rolled back after a later one was refused leaves the later one as what is told", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    site.plant.refuses = (content) =>
      content === "three" ? new PlantgateError("CONFIG_INVALID", "three is refused") : undefined;
    const three = await site.central.has(3, "three");
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    site.agent.want(three);
    await site.sees(({ state }) => state === "refused");
    expect(site.agent.report).toMatchObject({ reported: 1, refused: three, reason: "three is refused" });
    expect(site.plant.running).toBe("1:one");
  });

  it("P8: is on trial again, and becomes the last good one, where the next one cannot be put into effect", async () => {
    await using site = await openSite();
    site.plant.refuses = (content) =>
      content === "three" ? new PlantgateError("CONFIG_INVALID", "three cannot start") : undefined;
    const [two, three] = [await site.central.has(2, "two"), await site.central.has(3, "three")];
    site.agent.want(two);
    await site.sees(({ state }) => state === "watching");
    const found: unknown[] = [];
    const noted = async (): Promise<void> => {
      const { good, trial } = await site.documents.state();
      found.push([good?.revision, trial?.revision]);
    };
    site.plant.step = noted;
    site.agent.want(three);
    await site.sees(({ refused }) => refused?.revision === 3);
    await noted();
    expect(found).toEqual([
      [1, 3],
      [1, 2],
    ]);
    expect(await site.documents.bundle(two)).toBeDefined();
    await site.sees(({ state }) => state === "refused");
    await site.ends("stopped");
    expect(await site.documents.state()).toMatchObject({ good: two, before: site.one, refused: three });
    await site.starts();
    expect(site.plant.running).toBe("2:two");
    site.runs();
  });

  it("that hangs while it is put into effect ends the process, so that it keeps no later one away", async () => {
    using folder = temporaryFolder();
    const central = new CentralOfBundles();
    const plant = new Plant();
    const file = join(folder.path, "agent.db");
    const impatient = { ...clockOfWaits(), sleep: async () => {} };
    const first = await openAgent({ file, central, plant, clock: impatient });
    await first.start();
    plant.step = () => new Promise(() => {});
    const one = await central.has(1, "one");
    first.agent.want(one);
    await expect(first.ended).rejects.toThrow("revision 1 is not in effect after 2 minutes");
    expect(await first.documents.state()).toMatchObject({ trial: { ...one, starts: 1 } });
    const second = await openAgent({ file, central, plant, clock: impatient });
    await expect(second.agent.resume()).rejects.toThrow("revision 1 is not in effect after 2 minutes");
    const third = await openAgent({ file, central, plant, clock: impatient });
    await third.agent.resume();
    expect(third.agent.report).toMatchObject({ reported: 0, state: "rolled-back", refused: one });
  });
});

describe("a way back that central wants", () => {
  it("is taken from disk, without a fetch, and needs no trial", async () => {
    await using site = await openSite();
    await site.dealsWith(await site.central.has(2, "two"));
    site.plant.effects = { one: { wms: "down" } };
    await site.dealsWith(site.one);
    expect(site.agent.report).toMatchObject({ reported: 1, state: "active" });
    expect(site.central.fetched).toEqual([1, 2]);
  });

  it("from a trial leads to the last good one", async () => {
    await using site = await openSite();
    site.agent.want(await site.central.has(2, "two"));
    await site.sees(({ state }) => state === "watching");
    await site.dealsWith(site.one);
    expect(await site.documents.state()).toEqual({ desired: site.one, good: site.one, tallies: [] });
    expect(site.central.fetched).toEqual([1, 2]);
  });

  it("goes through the same trial as any other where it was never good here", async () => {
    await using site = await openSite();
    await site.dealsWith(await site.central.has(3, "three"));
    site.plant.effects = { two: { wms: "down" } };
    const two = await site.central.has(2, "two");
    await site.dealsWith(two);
    expect(site.agent.report).toMatchObject({ reported: 3, state: "rolled-back", refused: two });
  });
});

it("restarts nothing for the same revision, and fetches nothing", async () => {
  await using site = await openSite();
  for (let time = 0; time < 3; time++) {
    site.agent.want({ revision: 1 });
    site.agent.want({ ...site.one });
    await site.dealsWith(site.one);
  }
  await site.ends("stopped");
  await site.starts();
  site.runs();
  await site.dealsWith(site.one);
  expect([site.plant.applied, site.central.fetched]).toEqual([["1:one", "1:one"], [1]]);
});

it("ends at what was wanted last, however quickly that changes, and applies none that was left meanwhile", async () => {
  await using site = await openSite();
  const two = await site.central.has(2, "two");
  const three = await site.central.has(3, "three");
  for (const wish of [two, three, site.one, three, two, three]) site.agent.want(wish);
  await site.dealsWith(three);
  expect(site.plant.applied).toEqual(["1:one", "3:three"]);
});
