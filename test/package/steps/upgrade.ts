import { badSeconds, versions } from "../releases.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { until } from "../wait.ts";
import { allRecorded } from "./recorded.ts";

const backlog = 300;

/** To the next version and back from a bad one, with central away and messages waiting. */
export async function upgrade(stage: Stage): Promise<{ backlogKept: boolean; rolledBackSeconds: number }> {
  const { gateway, machine, warehouse, way } = stage;
  await stage.step(`the cable is out; ${backlog} messages are acknowledged and wait`, async () => {
    await machine.network.cut();
    // a link that nobody has found dead yet counts as online, and the version after it would have to come up to that
    await until(
      () => gateway.health(),
      (health) => health !== undefined && health.link !== "online",
    );
    await warehouse.send(backlog);
    const waiting = await gateway.waiting();
    expect(waiting >= backlog, `${backlog} messages wait`, waiting);
  });
  await stage.step(`upgraded to ${versions.next}, while more come`, async () => {
    warehouse.begin(100);
    const { code, out, err } = await gateway.plantgate("upgrade", way.bring("next"), "--watch", stage.watch);
    expect(code === 0, "it is kept, though central is away", `${code}: ${out}${err}`);
    await warehouse.settled();
    await runs(stage, versions.next);
    const waiting = await gateway.waiting();
    expect(waiting >= backlog + 100, `${backlog + 100} messages wait`, waiting);
    if (way.kind === "deb") {
      const status = (
        await machine.must(["dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "plantgate-gateway"])
      ).trim();
      expect(status === `${versions.next} installed`, "dpkg knows of it", status);
    }
  });
  await stage.step("an older version is refused", async () => {
    const before = await gateway.unit();
    const { code, out, err } = await gateway.plantgate("upgrade", way.bring("base"));
    expect(code === 1 && /--allow-older/.test(err), "it says what would allow it", `${code}: ${out}${err}`);
    expect((await gateway.unit()).invocation === before.invocation, "the gateway was not disturbed");
  });
  await stage.made("bad");
  const rolledBackSeconds = await stage.step(
    `${versions.bad} ends by itself after ${badSeconds} s; it is taken back`,
    async () => {
      warehouse.begin(100);
      const upgrading = gateway.plantgate("upgrade", way.bring("bad"), "--watch", stage.watch);
      const seconds = await switchedBack(stage, upgrading);
      const { code, out, err } = await upgrading;
      expect(code === 3, "it says that it was taken back", `${code}: ${out}${err}`);
      stage.note(out.trim());
      await warehouse.settled();
      await runs(stage, versions.next);
      const { outcome, version } = await gateway.lastUpgrade();
      expect(outcome === "rolled-back" && version === versions.bad, "what came of it is written down", { outcome, version });
      return seconds;
    },
  );
  await stage.step(`back to ${versions.base}, as somebody wants that`, async () => {
    warehouse.begin(50);
    const ended = await gateway.plantgate("upgrade", way.bring("base"), "--allow-older", "--watch", stage.watch);
    expect(ended.code === 0, "it is kept", `${ended.code}: ${ended.out}${ended.err}`);
    await warehouse.settled();
    await runs(stage, versions.base);
    const waiting = await gateway.waiting();
    expect(waiting >= backlog + 250, `${backlog + 250} messages wait`, waiting);
  });
  await stage.step("the cable is in: all that was acknowledged is at central, once, in order", async () => {
    await machine.network.join();
    await allRecorded(stage);
  });
  return { backlogKept: true, rolledBackSeconds };
}

/** This version is what runs, answers and says so. */
export async function runs({ gateway }: Pick<Stage, "gateway">, version: string): Promise<void> {
  await gateway.isActive();
  expect(gateway.current() === version, `${version} is current`, gateway.current());
  expect(!gateway.isOnTrial(), "nothing is on trial any more");
  const health = await until(
    () => gateway.health(),
    (answer) => answer !== undefined,
  );
  expect(health?.version === version, `${version} answers`, health);
}

/** From the moment when the bad version is current to the one when the version before is well again. */
async function switchedBack({ gateway }: Stage, upgrading: Promise<unknown>): Promise<number> {
  await until(
    () => gateway.current(),
    (current) => current === versions.bad,
    upgrading,
  );
  const since = performance.now();
  await until(
    async () => (gateway.current() === versions.next ? await gateway.health() : undefined),
    (health) => health?.version === versions.next,
  );
  return Math.round((performance.now() - since) / 100) / 10;
}
