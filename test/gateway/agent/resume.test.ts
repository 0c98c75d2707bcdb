import { join } from "node:path";
import { expect, it } from "vitest";
import { PlantgateError } from "../../../protocol/index.ts";
import { CentralOfBundles, clockOfWaits, openAgent, Plant } from "../../support/agent.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** A gateway's folder and its central; each `open` is a start of its process. */
function openSite() {
  const folder = temporaryFolder();
  const central = new CentralOfBundles();
  return {
    central,
    async open(refuses: (content: string) => boolean = () => false) {
      const plant = new Plant();
      plant.refuses = (content) =>
        refuses(content) ? new PlantgateError("CONFIG_INVALID", `"${content}" is not understood`) : undefined;
      const opened = await openAgent({ file: join(folder.path, "agent.db"), central, plant, clock: clockOfWaits() });
      await opened.start();
      return { ...opened, [Symbol.asyncDispose]: () => opened.stop() };
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

it("goes on with the configuration in effect and says why another one was refused, also after a restart", async () => {
  using site = openSite();
  const [one, two] = [await site.central.has(1, "one"), await site.central.has(2, "two")];
  const refuses = (content: string): boolean => content === "two";
  const told = {
    ...{ reported: 1, digest: one.digest, state: "refused", reason: '"two" is not understood', refused: two },
    since: { recorded: 0, deadLetters: 0 },
  };
  {
    await using first = await site.open(refuses);
    await first.dealsWith(one);
    await first.dealsWith(two);
    expect(first.plant.applied).toEqual(["1:one"]);
    expect(first.agent.report).toEqual(told);
  }
  await using second = await site.open(refuses);
  expect([second.plant.applied, second.agent.report]).toEqual([["1:one"], told]);
});

it("takes what was refused once it can be applied, such as by a newer gateway", async () => {
  using site = openSite();
  const [one, two] = [await site.central.has(1, "one"), await site.central.has(2, "two")];
  {
    await using first = await site.open((content) => content === "two");
    await first.dealsWith(one);
    await first.dealsWith(two);
  }
  await using second = await site.open();
  expect(second.agent.desired).toBe(0);
  second.agent.want(two);
  await second.sees(({ state, reported }) => state === "active" && reported === 2);
  expect(second.agent.report.refused).toBeUndefined();
});

it("starts with the configuration before the last one when that one cannot be applied any more, and says so", async () => {
  using site = openSite();
  const wishes = [await site.central.has(1, "one"), await site.central.has(2, "two"), await site.central.has(3, "three")];
  {
    await using first = await site.open((content) => content === "three");
    // the third one was refused, and is no configuration to go back to
    for (const wish of wishes) await first.dealsWith(wish);
  }
  await using second = await site.open((content) => content !== "one");
  expect([second.plant.applied, second.plant.instead]).toEqual([["1:one"], ["1:one"]]);
  expect(second.agent.report).toMatchObject({
    reported: 1,
    state: "refused",
    reason: expect.stringContaining('revision 2: "two" is not understood'),
  });
  // central's wanted revision is asked for again, whichever it is
  expect(second.agent.desired).toBe(0);
});

it("takes the configuration that central still wants when it can be applied again", async () => {
  using site = openSite();
  const [one, two] = [await site.central.has(1, "one"), await site.central.has(2, "two")];
  {
    await using first = await site.open();
    await first.dealsWith(one);
    await first.dealsWith(two);
  }
  let understood = false;
  await using second = await site.open((content) => content === "two" && !understood);
  understood = true;
  second.agent.want(two);
  await second.sees(({ state }) => state === "active");
  expect([second.plant.applied, second.agent.report.reported]).toEqual([["1:one", "2:two"], 2]);
});

it("says that nothing runs when no stored configuration can be applied", async () => {
  using site = openSite();
  {
    await using first = await site.open();
    await first.dealsWith(await site.central.has(1, "one"));
    await first.dealsWith(await site.central.has(2, "two"));
  }
  await using second = await site.open(() => true);
  expect([second.plant.applied, second.agent.report.reported, second.agent.report.state]).toEqual([[], 0, "refused"]);
});

it("takes another content under the number of the one that runs, as a restored central gives numbers out again", async () => {
  using site = openSite();
  const lost = await site.central.has(2, "lost");
  {
    await using first = await site.open();
    await first.dealsWith(lost);
    first.agent.want({ ...lost });
    await first.dealsWith(lost);
    expect(first.plant.applied).toEqual(["2:lost"]);
  }
  // it was away meanwhile
  const again = await site.central.has(2, "again");
  {
    await using second = await site.open();
    await second.dealsWith(again);
    expect(second.plant.applied).toEqual(["2:lost", "2:again"]);
    expect(second.agent.report).toMatchObject({ reported: 2, digest: again.digest, state: "active" });
  }
  await using third = await site.open();
  expect(third.plant.applied).toEqual(["2:again"]);
});

it("goes on with what ran, also after a restart, when another content under its number is refused", async () => {
  using site = openSite();
  const refuses = (content: string): boolean => content === "again";
  {
    await using first = await site.open();
    await first.dealsWith(await site.central.has(2, "lost"));
  }
  const again = await site.central.has(2, "again");
  {
    await using second = await site.open(refuses);
    await second.dealsWith(again);
    expect(second.agent.report).toMatchObject({ reported: 2, state: "refused", reason: '"again" is not understood' });
  }
  await using third = await site.open(refuses);
  expect([third.plant.applied, third.agent.report.state]).toEqual([["2:lost"], "refused"]);
});
