import { versions } from "../releases.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { until } from "../wait.ts";
import { allRecorded } from "./recorded.ts";
import { runs } from "./upgrade.ts";

/** Somebody installs a bad version as one installs any package, and goes away. */
export async function installBadOne(stage: Stage): Promise<void> {
  const { gateway, warehouse, way } = stage;
  await stage.step(`${versions.bad} is installed without the updater; it is taken back all the same`, async () => {
    const before = gateway.current();
    warehouse.begin(50);
    const missed = await watchTree(stage);
    const { code, out, err } = await way.install(way.bring("bad"));
    expect(code === 0, "the installation ends well", out + err);
    const { looks, misses } = await missed();
    expect(looks > 100 && misses === 0, "what runs kept all of its files meanwhile", { looks, misses });
    await until(
      () => gateway.current() === before && !gateway.isOnTrial(),
      (isBack) => isBack,
    );
    const { version, outcome } = await gateway.lastUpgrade();
    expect(version === versions.bad && outcome === "rolled-back", "what came of it is written down", { version, outcome });
    await warehouse.settled();
    await runs(stage, before);
    await allRecorded(stage);
    stage.note(`${looks} looks at its files, ${misses} missed`);
  });
  if (way.kind === "deb") await agreeAgain(stage);
}

/** Looks as often as it can at the tree of what runs, and of what would be started; resolves once it does. @returns the end of it */
async function watchTree({ machine }: Stage): Promise<() => Promise<{ readonly looks: number; readonly misses: number }>> {
  const [begun, over] = ["/run/plantgate-watch-begun", "/run/plantgate-watch-over"];
  const watching = machine.sh(`
    top=/opt/plantgate/gateway; tree=$(readlink -f $top/current); looks=0; misses=0
    while [ ! -e ${over} ]; do
      looks=$((looks + 1))
      [ -x $top/current/bin/node ] && [ -x $tree/bin/node ] && [ -e $tree/app/packaging/cli/launch.mjs ] || misses=$((misses + 1))
      [ $looks != 1 ] || : >${begun}
    done
    echo $looks $misses`);
  await until(
    () => machine.run(["test", "-e", begun]),
    ({ code }) => code === 0,
  );
  return async () => {
    await machine.must(["touch", over]);
    const [looks = 0, misses = Number.NaN] = (await watching).out.trim().split(" ").map(Number);
    await machine.must(["rm", begun, over]);
    return { looks, misses };
  };
}

/** dpkg knows the version that was taken back; the package of the one that runs tells it otherwise. */
async function agreeAgain(stage: Stage): Promise<void> {
  const { gateway, machine, way } = stage;
  await stage.step("dpkg names the one that was taken back, until it gets the package of the one that runs", async () => {
    const known = (): Promise<string> => machine.must(["dpkg-query", "-W", "-f", "${Version}", "plantgate-gateway"]);
    expect((await known()) === versions.bad, "dpkg names the bad one", await known());
    const { out } = await gateway.plantgate("upgrade", "--status");
    const command = `dpkg -i plantgate-gateway_${gateway.current()}_`;
    expect(out.includes(command), "the updater says what makes them agree", out);
    const before = await gateway.unit();
    const ended = await way.install(way.bring("last"));
    expect(ended.code === 0, "the older package is taken, as it is what runs", ended.out + ended.err);
    expect((await known()) === versions.last, "dpkg names what runs", await known());
    expect((await gateway.unit()).invocation === before.invocation, "nothing was restarted");
    const said = await gateway.plantgate("upgrade", "--status");
    expect(!said.out.includes("dpkg"), "there is nothing more to say", said.out);
  });
}
