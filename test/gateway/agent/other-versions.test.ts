import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { judgeConfiguration } from "../../../gateway/agent/judge.ts";
import { CentralOfBundles, clockOfWaits, contentOf, openAgent, Plant, sign } from "../../support/agent.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** A gateway on which revision 1 and then 2 did well. */
async function openSite() {
  const folder = temporaryFolder();
  const file = join(folder.path, "agent.db");
  const central = new CentralOfBundles();
  const opened = await openAgent({ file, central, clock: clockOfWaits() });
  await opened.start();
  const one = await central.has(1, "one");
  const two = await central.has(2, "two");
  await opened.dealsWith(one);
  await opened.dealsWith(two);
  return { folder, file, central, opened, one, two };
}

const lineOf = (document: unknown): string => `${JSON.stringify(document)}\n`;

describe("a gateway that finds what a newer version wrote of its configuration", () => {
  it("runs it, where that has more keys and more documents than this version knows", async () => {
    const { folder, file, central, opened, two } = await openSite();
    await opened.stop();
    const state = await (await AgentDocuments.open(file)).state();
    appendFileSync(file, lineOf({ _id: "plan/7", steps: [1, 2] }));
    appendFileSync(file, lineOf({ _id: "state", state: { ...state, phase: "third", good: { ...two, signedBy: "k" } } }));
    const plant = new Plant();
    const again = await openAgent({ file, central, plant, clock: clockOfWaits() });
    await again.start();
    expect(plant.running).toBe("2:two");
    await again.dealsWith(await central.has(3, "three"));
    expect(plant.running).toBe("3:three");
    await again.stop();
    folder[Symbol.dispose]();
  });

  it("runs its newest bundle where the state is of a form that it does not know", async () => {
    const { folder, file, central, opened } = await openSite();
    await opened.stop();
    appendFileSync(file, lineOf({ _id: "state", state: { version: 2, runs: { revision: 2 } } }));
    const plant = new Plant();
    const again = await openAgent({ file, central, plant, clock: clockOfWaits() });
    await again.start();
    expect(plant.running).toBe("2:two");
    await again.stop();
    folder[Symbol.dispose]();
  });

  it("runs the one before where it does not understand the last one, and keeps that for the version that does", async () => {
    const { folder, file, central, opened } = await openSite();
    const newer = await sign({ ...(await contentOf(3, "three")), moons: ["io"] });
    const three = central.hands(3, newer);
    await opened.stop();
    const { good } = await (await AgentDocuments.open(file)).state();
    appendFileSync(file, lineOf({ _id: `bundle/3/${three.digest}`, jws: newer }));
    appendFileSync(file, lineOf({ _id: "state", state: { desired: three, good: three, before: good } }));
    const plant = new Plant();
    const again = await openAgent({ file, plant, clock: clockOfWaits() });
    await again.start();
    expect(plant.running).toBe("2:two");
    expect(again.agent.report).toMatchObject({ reported: 2, reason: expect.stringContaining("does not know moons") });
    await again.stop();
    expect(await (await AgentDocuments.open(file)).bundle(three)).toBe(newer);
    folder[Symbol.dispose]();
  });
});

describe("a version that is asked whether it could go on with a folder", () => {
  it("says what it does not know of the configuration that runs, and changes nothing", async () => {
    const { folder, file, central, opened } = await openSite();
    await opened.stop();
    expect(await judgeConfiguration(folder.path, "0.1.0")).toBeUndefined();
    const newer = await sign({ ...(await contentOf(3, "three")), moons: ["io"] });
    const three = central.hands(3, newer);
    appendFileSync(file, lineOf({ _id: `bundle/3/${three.digest}`, jws: newer }));
    appendFileSync(file, lineOf({ _id: "state", state: { desired: three, good: three } }));
    const before = readFileSync(file);
    expect(await judgeConfiguration(folder.path, "0.1.0")).toMatch(
      /revision 3.*\(0.1.0\) does not know moons: a newer gateway is needed/,
    );
    expect(readFileSync(file)).toEqual(before);
    copyFileSync(file, join(folder.path, "kept"));
    writeFileSync(file, "no line of this is a document\n");
    expect(await judgeConfiguration(folder.path, "0.1.0")).toBeUndefined();
    expect(readFileSync(file, "utf8")).toBe("no line of this is a document\n");
    folder[Symbol.dispose]();
  });

  it("has nothing against a folder without a configuration", async () => {
    using folder = temporaryFolder();
    expect(await judgeConfiguration(folder.path, "0.1.0")).toBeUndefined();
  });
});

describe("while the program itself is on trial", () => {
  it("a new configuration waits, and holds nothing up; then it comes into effect", async () => {
    const { folder, central, opened } = await openSite();
    opened.agent.hold();
    const three = await central.has(3, "three");
    opened.agent.want(three);
    await opened.agent.settled(AbortSignal.timeout(60_000));
    expect(opened.plant.running).toBe("2:two");
    expect(opened.agent.desired).toBe(3);
    opened.agent.release();
    await opened.dealsWith(three);
    expect(opened.plant.running).toBe("3:three");
    await opened.stop();
    folder[Symbol.dispose]();
  });

  it("a first configuration does not wait", async () => {
    using folder = temporaryFolder();
    const central = new CentralOfBundles();
    const opened = await openAgent({ file: join(folder.path, "agent.db"), central, clock: clockOfWaits() });
    opened.agent.hold();
    await opened.start();
    await opened.dealsWith(await central.has(1, "one"));
    expect(opened.plant.running).toBe("1:one");
    await opened.stop();
  });
});
