import { versions } from "../releases.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { until } from "../wait.ts";
import { allRecorded } from "./recorded.ts";
import { runs } from "./upgrade.ts";

/** The power fails while a version is on trial: what comes up settles that by itself. */
export async function survivePowerCut(stage: Stage): Promise<void> {
  const { gateway, machine, warehouse, way } = stage;
  await stage.step(`the power fails while ${versions.last} is on trial; the machine boots`, async () => {
    warehouse.begin(50);
    const upgrading = gateway.plantgate("upgrade", way.bring("last"), "--watch", stage.watch).catch(() => undefined);
    await until(
      async () => gateway.current() === versions.last && gateway.isOnTrial() && (await gateway.unit()).active === "active",
      (started) => started,
    );
    await machine.cutPower();
    await upgrading;
    expect(gateway.isOnTrial(), "the power failed during the trial");
    await machine.boot();
    await gateway.isActive();
  });
  await stage.step("it settles by itself", async () => {
    await until(
      () => gateway.isOnTrial(),
      (onTrial) => !onTrial,
    );
    const { outcome, reason } = await gateway.lastUpgrade();
    stage.note(`${outcome} ${reason}`);
    expect(outcome === "kept", "a version that is well is kept", { outcome, reason });
    await until(
      () =>
        runs(stage, versions.last).then(
          () => "",
          (error: Error) => error.message,
        ),
      (wrong) => wrong === "",
    );
    await warehouse.settled();
    await allRecorded(stage);
  });
}
