import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RecoveryAnswer } from "../../../../central/http/api/recovery.ts";
import { versions } from "../../releases.ts";
import { unpackRoot } from "../../root.ts";
import { expect } from "../../steps.ts";
import type { CentralStage } from "../../story.ts";
import { until } from "../../wait.ts";
import { wayOf } from "../../ways.ts";
import { nothingLeft } from "../remove.ts";
import type { Kept } from "./backup.ts";
import { centralRuns, nothingMissing } from "./upgrade.ts";

const data = "var/lib/plantgate/central";

/** Its package goes, then its machine: a fresh one gets the backup, and its gateway brings what that lacks. */
export async function loseCentral(stage: CentralStage, kept: Kept): Promise<{ caughtUpSeconds: number }> {
  const { installed, central, warehouse, releases, step, note } = stage;
  const { machine } = installed;
  const away = join(machine.folder, "../away");
  const carried = { backup: join(away, "central.tar.zst"), keys: join(away, "central-keys.json") };
  await step("20 messages more; its package is purged, and asks before it deletes anything", async () => {
    await warehouse.send(20);
    await nothingMissing(stage);
    mkdirSync(away);
    machine.copyOut(kept.backup, carried.backup);
    machine.copyOut(kept.keys, carried.keys);
    const removed = await wayOf("deb", machine, releases, "central").remove();
    expect(removed.code === 0, "it ends well", removed.out + removed.err);
    const running = (await machine.run(["systemctl", "is-active", "plantgate-central.service", "plantgate-central-backup.timer"]))
      .out;
    expect(!/^active$/m.test(running), "nothing of it runs", running);
    const purging = await machine.run(["script", "-qec", "dpkg -P plantgate-central", "/dev/null"], {
      input: "no\n",
      env: { DEBIAN_FRONTEND: "teletype", TERM: "dumb" },
    });
    expect(purging.code === 0, "it ends well", purging.out + purging.err);
    expect(/Delete central's ledger and keys\?/.test(purging.out), "it asks", purging.out);
    expect(machine.exists(`${data}/ledger.db`) && machine.exists(`${data}/signing-key.json`), "its data are there");
    expect(purging.out.includes(`rm -rf /${data}`), "it says how to delete them", purging.out);
    note(purging.out.trim().split("\n").at(-1) ?? "");
  });
  await step("its machine is lost; 30 messages are acknowledged, and wait", async () => {
    await machine.lose();
    await warehouse.send(30);
  });
  await step("a fresh machine, central from the archive, the backup restored", async () => {
    await unpackRoot(machine.folder);
    await machine.boot();
    const way = wayOf("tar", machine, releases, "central");
    const { code, out, err } = await way.install(way.bring("base"));
    expect(code === 0, "the installation ends well", out + err);
    await installed.isActive();
    installed.listenToAll();
    for (const [name, file] of Object.entries(carried)) machine.copyIn(file, `root/carried/${name}`);
    await machine.must(["systemctl", "stop", installed.unitName]);
    const restored = await installed.plantgate("restore", "/root/carried/backup", "--keys", "/root/carried/keys", "--replace");
    expect(restored.code === 0, "the restore ends well", restored.out + restored.err);
    const strangers = (await machine.must(["find", `/${data}`, "!", "-user", "plantgate-central"])).trim();
    expect(strangers === "", "nothing in its folder is somebody else's", strangers);
    await machine.must(["systemctl", "start", installed.unitName]);
    await centralRuns(installed, versions.base);
  });
  const since = performance.now();
  return step("its gateway brings what it lacks, and central says so", async () => {
    await nothingMissing(stage);
    const { recovery } = await until(
      () => central.call<RecoveryAnswer>("GET", "/v1/recovery"),
      (answer) => answer.recovery?.done === true,
    );
    expect(
      recovery !== null && recovery.missed >= 20 && recovery.again === recovery.missed,
      "all that it missed came again",
      recovery,
    );
    expect(recovery.lost === 0, "nothing is lost", recovery);
    return { caughtUpSeconds: Math.round((performance.now() - since) / 100) / 10 };
  });
}

/** At the end of its days: it is asked about there as well. */
export async function purgeCentral({ installed, releases, step }: CentralStage): Promise<void> {
  const { machine } = installed;
  await step("central is taken away: its data go with a yes, and nothing of it is left", async () => {
    const removed = await wayOf("tar", machine, releases, "central").remove();
    expect(removed.code === 0 && machine.exists(`${data}/ledger.db`), "its data stay", removed.out + removed.err);
    const purging = await machine.run(["script", "-qec", "/root/uninstall.sh central --purge", "/dev/null"], { input: "y\n" });
    expect(purging.code === 0 && /the keys that all gateways trust/.test(purging.out), "it asks", purging.out + purging.err);
    await nothingLeft(machine);
  });
}
