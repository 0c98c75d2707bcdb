import { describe, expect, it } from "vitest";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { CentralOfBundles, clockOfWaits, contentOf, openAgent, Plant, sign } from "../../support/agent.ts";
import { CutDisk } from "../../support/cut-disk.ts";

/** A gateway on which revision 1 does well, on a disk that the test fills. */
async function openSite() {
  const disk = new CutDisk();
  const central = new CentralOfBundles();
  const plant = new Plant();
  const opened = await openAgent({ file: "agent.db", central, plant, clock: clockOfWaits(), documents: { disk } });
  await opened.start();
  await opened.dealsWith(await central.has(1, "one"));
  return {
    ...opened,
    disk,
    onDisk: async () => (await AgentDocuments.open("agent.db", { disk })).state(),
    [Symbol.asyncDispose]: () => opened.stop(),
  };
}

describe("a bundle that is none for this gateway is refused with its reason, and what runs goes on:", () => {
  const refusals: readonly { what: string; jws: () => Promise<string>; digest?: string; reason: string }[] = [
    {
      what: "one that somebody else signed",
      jws: async () => sign(await contentOf(2, "two"), "somebody else"),
      reason: "the signature is not by central's pinned key",
    },
    {
      what: "one of another site",
      jws: async () => sign({ ...(await contentOf(2, "two")), site: "porto" }),
      reason: 'the bundle is for site "porto", and this is "lyon"',
    },
    {
      what: "one with another number",
      jws: async () => sign(await contentOf(3, "two")),
      reason: "central sent revision 3 for 2",
    },
    {
      what: "another one than the digest says",
      jws: async () => sign(await contentOf(2, "two")),
      digest: "0".repeat(64),
      reason: `central wants revision 2 with the digest ${"0".repeat(64)}, and sent one with`,
    },
    {
      what: "one with a key that it does not know",
      jws: async () => sign({ ...(await contentOf(2, "two")), steering: {} }),
      reason: "this gateway (0.1.0) does not know steering: a newer gateway is needed",
    },
    {
      what: "one with a key deep inside that it does not know",
      jws: async () => {
        const bundle = await contentOf(2, "two");
        const picks = bundle.flows.picks as object;
        return sign({ ...bundle, flows: { picks: { ...picks, to: [{ central: true, urgency: 3 }], gates: [] } } });
      },
      reason: "does not know flows.picks.to.0.urgency, flows.picks.gates: a newer gateway is needed",
    },
    {
      what: "one with a kind of connector that it does not know",
      jws: async () => {
        const bundle = await contentOf(2, "two");
        return sign({ ...bundle, connectors: { ...bundle.connectors, robot: { group: "robot", config: { type: "robot" } } } });
      },
      reason: "does not know connectors.robot.config",
    },
    { what: "no bundle at all", jws: async () => sign({ hello: 1 }), reason: "the bundle is not valid" },
    { what: "no signature at all", jws: async () => "a.proxy.page", reason: "signature" },
  ];
  it.each(refusals)("$what", async ({ jws, digest, reason }) => {
    await using site = await openSite();
    const two = site.central.hands(2, await jws());
    const wanted = { ...two, digest: digest ?? two.digest };
    await site.dealsWith(wanted);
    expect(site.agent.report).toMatchObject({ reported: 1, state: "refused", refused: wanted });
    expect(site.agent.report.reason).toContain(reason);
    expect(site.plant.applied).toEqual(["1:one"]);
    expect((await site.onDisk()).good?.revision).toBe(1);
    // and the next one is taken
    await site.dealsWith(await site.central.has(3, "three"));
    expect(site.agent.report).toMatchObject({ reported: 3, state: "active" });
  });
});

it("takes a bundle of eight megabytes, keeps it, and starts with it", async () => {
  const disk = new CutDisk();
  const central = new CentralOfBundles();
  const codes = {
    parts: Object.fromEntries(Array.from({ length: 200_000 }, (_, at) => [`part-${at}`, `a part of number ${at}`])),
  };
  const large = await central.has(1, "one", { codes });
  for (const fetches of [1, 1]) {
    const opened = await openAgent({ file: "agent.db", central, clock: clockOfWaits(), documents: { disk } });
    await opened.start();
    await opened.dealsWith(large);
    expect([opened.plant.running, central.fetched.length]).toEqual(["1:one", fetches]);
    await opened.stop();
  }
  expect((await disk.read("agent.db"))?.length).toBeGreaterThan(8_000_000);
});

describe("on a full disk", () => {
  it("goes on with what runs, says what it waits for, and takes the new revision once there is room", async () => {
    await using site = await openSite();
    site.disk.isFull = true;
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ reason }) => reason !== undefined);
    expect(site.agent.report).toMatchObject({
      reported: 1,
      state: "active",
      reason: "revision 2 is not here yet: no space left on device",
    });
    expect(site.plant.applied).toEqual(["1:one"]);
    site.disk.isFull = false;
    await site.dealsWith(two);
    expect(site.agent.report).toMatchObject({ reported: 2, state: "active" });
    expect(site.agent.report.reason).toBeUndefined();
  });

  it("changes nothing before it could note what is on trial", async () => {
    await using site = await openSite();
    const { saveBundle } = site.documents;
    site.documents.saveBundle = async (...bundle) => {
      await saveBundle.apply(site.documents, bundle);
      site.disk.isFull = true;
    };
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ reason }) => reason !== undefined);
    expect([site.plant.applied, site.agent.report.reported]).toEqual([["1:one"], 1]);
    site.documents.saveBundle = saveBundle;
    site.disk.isFull = false;
    await site.dealsWith(two);
  });

  it("rolls back all the same, and notes it as soon as there is room", async () => {
    await using site = await openSite();
    site.plant.effects = { two: { wms: "down" } };
    const two = await site.central.has(2, "two");
    site.agent.want(two);
    await site.sees(({ state }) => state === "watching");
    site.disk.isFull = true;
    await site.sees(({ state }) => state === "rolled-back");
    expect(site.plant.running).toBe("1:one");
    expect((await site.onDisk()).trial).toMatchObject(two);
    site.disk.isFull = false;
    for (let state = await site.onDisk(); state.trial; state = await site.onDisk()) await new Promise(setImmediate);
    expect(await site.onDisk()).toMatchObject({ good: { revision: 1 }, refused: { ...two, how: "rolled-back" } });
  });
});
