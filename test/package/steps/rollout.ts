import type { ReleasesAnswer } from "../../../central/http/api/releases.ts";
import type { RolloutView } from "../../../central/http/api/rollouts.ts";
import { versions } from "../releases.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { until } from "../wait.ts";
import { allRecorded } from "./recorded.ts";
import { runs } from "./upgrade.ts";

/** Nobody is at the machine: central brings it the next version, its gateway fetches that, root's updater puts it on trial. */
export async function rollOut(stage: Stage): Promise<void> {
  const { central, gateway, machine, releases, warehouse, way } = stage;
  await stage.step(`central has ${versions.base} and ${versions.next}, and rolls ${versions.next} out`, async () => {
    const files = (["base", "next"] as const).map((which) => releases.file(way.kind, which));
    await central.cli(["release", "add", ...files]);
    await watchForLess(stage);
    await until(
      () => central.call<ReleasesAnswer>("GET", "/v1/releases"),
      ({ sites }) => sites[0]?.version === versions.base && sites[0].installed === way.kind,
    );
    await central.cli(["rollout", "start", "--release", versions.next, "--environment", "dev", "--window", "1s"]);
    warehouse.begin(50);
    await until(
      () => gateway.current(),
      (current) => current === versions.next,
    );
  });
  await stage.step("it is kept, and central says that the rollout is done", async () => {
    const rollout = await until(
      () => central.call<RolloutView>("GET", "/v1/rollouts/1"),
      ({ state }) => ["done", "aborted", "rolled-back"].includes(state),
    );
    expect(rollout.state === "done", "the rollout is done", { state: rollout.state, reason: rollout.reason });
    // central hears that it is kept before its updater has put units and versions in order
    await until(
      () => gateway.isOnTrial(),
      (isOnTrial) => !isOnTrial,
    );
    await runs(stage, versions.next);
    const { sites } = await central.call<ReleasesAnswer>("GET", "/v1/releases");
    expect(sites[0]?.version === versions.next && sites[0].upgrade?.state === "kept", "central knows it", sites[0]);
    const left = (await machine.must(["find", "/var/lib/plantgate/gateway/upgrade/incoming", "-type", "f"])).trim();
    expect(left === "", "nothing is left of what was fetched", left);
    await warehouse.settled();
    await allRecorded(stage);
  });
}

/** What central brings is watched for as long as the other versions of this test, not for a minute; the machine's next boot forgets that. */
async function watchForLess({ machine, watch }: Stage): Promise<void> {
  const unit = "plantgate-gateway-upgrade.service";
  const own = (await machine.must(["systemctl", "show", "-p", "FragmentPath", "--value", unit])).trim();
  const { code, err } = await machine.sh(
    `sed 's/ --incoming / --incoming --watch ${watch} /' ${own} >/run/systemd/system/${unit} && grep -q watch /run/systemd/system/${unit}`,
  );
  expect(code === 0, "its unit takes what central brings", err);
  await machine.must(["systemctl", "daemon-reload"]);
}
