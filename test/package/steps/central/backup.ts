import type { BackupAnswer } from "../../../../central/http/api/recovery.ts";
import type { InstalledCentral } from "../../installed-central.ts";
import { expect } from "../../steps.ts";
import type { CentralStage } from "../../story.ts";
import { until } from "../../wait.ts";

const folder = "/var/lib/plantgate/central-backups";
const service = "plantgate-central-backup.service";
const timer = "plantgate-central-backup.timer";

export interface Kept {
  readonly backup: string;
  readonly keys: string;
}

/** Backups as systemd takes them. @returns the newest, and the keys of secrets, which an administrator took apart from it */
export async function backUpByTimer({ installed, central, step, note }: CentralStage): Promise<Kept> {
  const { machine } = installed;
  const keys = "/root/central-keys.json";
  await step("central's secrets get a copy of their keys elsewhere", async () => {
    await central.cli(["secret", "set", "wms"], "open sesame");
    const { code, out, err } = await installed.plantgate("backup", "--out", "/root/by-hand/", "--keys-out", keys);
    expect(code === 0, "it ends well", out + err);
  });
  const first = await step("its backup service runs within what its unit lets it", async () => {
    await machine.must(["systemctl", "start", service]);
    const [file = "", ...more] = await taken(installed);
    expect(file !== "" && more.length === 0, "there is one backup", [file, ...more]);
    const owner = (await machine.must(["stat", "-c", "%U %a", file])).trim();
    expect(owner === "plantgate-central 600", "it is readable by its owner alone", owner);
    const { lastBackup } = await central.call<BackupAnswer>("GET", "/v1/backup");
    expect(lastBackup?.file === file, "central knows of it", lastBackup);
    return file;
  });
  await step("its timer is enabled, says when it fires next, and fires", async () => {
    await machine.must(["systemctl", "enable", "--now", timer]);
    const next = (await machine.must(["systemctl", "list-timers", "--no-legend", "--no-pager", timer])).trim();
    note(next);
    expect(/^\w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+ /.test(next), "its next date is shown", next);
    // an hour is long
    machine.write(`run-${timer}`, "[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=100ms\n");
    await machine.must([
      "sh",
      "-c",
      `mkdir -p /run/systemd/system/${timer}.d && mv /run-${timer} /run/systemd/system/${timer}.d/soon.conf`,
    ]);
    await machine.must(["systemctl", "daemon-reload"]);
    await machine.must(["systemctl", "restart", timer]);
    await until(
      () => taken(installed),
      // it may fire at its own time besides
      (files) => files.length >= 2,
    );
    await until(
      async () => (await machine.run(["systemctl", "is-active", service])).out.trim(),
      (state) => state === "inactive",
    );
    await machine.must(["rm", "-r", `/run/systemd/system/${timer}.d`]);
    await machine.must(["systemctl", "daemon-reload"]);
    await machine.must(["systemctl", "restart", timer]);
  });
  return step("what it took is whole, and these keys open its secrets", async () => {
    const backup = (await taken(installed)).find((file) => file !== first) as string;
    await machine.must(["plantgate", "backup", "verify", backup, "--keys", keys]);
    return { backup, keys };
  });
}

async function taken({ machine }: InstalledCentral): Promise<string[]> {
  return (await machine.must(["find", folder, "-name", "*.tar.zst"])).split("\n").filter(Boolean).sort();
}
