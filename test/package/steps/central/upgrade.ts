import { readFileSync } from "node:fs";
import { join } from "node:path";
import { project } from "../../../../packaging/package/workspace.ts";
import type { InstalledCentral } from "../../installed-central.ts";
import { badSeconds, versions } from "../../releases.ts";
import { expect } from "../../steps.ts";
import type { CentralStage } from "../../story.ts";
import { until } from "../../wait.ts";
import { wayOf } from "../../ways.ts";
import { allRecorded } from "../recorded.ts";

const backups = "/var/lib/plantgate/central-before-upgrades";

/** Central goes to the next version, back from a bad one, and back by hand from one whose schema is newer; its plant notices a pause. */
export async function upgradeCentral(stage: CentralStage): Promise<{ rolledBackSeconds: number }> {
  const { installed, warehouse, releases } = stage;
  const { machine } = installed;
  const way = wayOf("deb", machine, releases, "central");
  for (const which of ["next", "bad", "newer"] as const) await stage.made(which, "central");
  const upgradeTo = (file: string) => installed.plantgate("upgrade", file, "--watch", stage.watch);
  await stage.step(`central is upgraded to ${versions.next}, backed up before, while its plant goes on`, async () => {
    warehouse.begin(100);
    const { code, out, err } = await upgradeTo(way.bring("next"));
    expect(code === 0, "it is kept", `${code}: ${out}${err}`);
    await centralRuns(installed, versions.next);
    const status = (await machine.must(["dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "plantgate-central"])).trim();
    expect(status === `${versions.next} installed`, "dpkg knows of it", status);
    const files = await backupsIn(installed);
    expect(files.length === 1, "it was backed up before", files);
    await machine.must(["plantgate", "backup", "verify", files[0] as string]);
    await nothingMissing(stage);
  });
  const rolledBackSeconds = await stage.step(
    `central's ${versions.bad} ends by itself after ${badSeconds} s; it is taken back`,
    async () => {
      warehouse.begin(100);
      const upgrading = upgradeTo(way.bring("bad"));
      const seconds = await switchedBack(installed, upgrading);
      const { code, out, err } = await upgrading;
      expect(code === 3, "it says that it was taken back", `${code}: ${out}${err}`);
      await centralRuns(installed, versions.next);
      const { outcome, version } = await installed.lastUpgrade();
      expect(outcome === "rolled-back" && version === versions.bad, "what came of it is written down", { outcome, version });
      await nothingMissing(stage);
      return seconds;
    },
  );
  await stage.step(`central's ${versions.newer} moves the schema and ends by itself; it says how to go back`, async () => {
    warehouse.begin(100);
    const { code, out, err } = await upgradeTo(way.bring("newer"));
    expect(code === 4, "it says that a person has to look", `${code}: ${out}${err}`);
    expect(/different schemas/.test(err), "it said before that there is no way back but by a backup", err);
    for (const words of ["systemctl stop", "upgrade --role central --back --no-backup", "restore --replace", backups])
      expect(out.includes(words), `it names ${words}`, out);
    expect(installed.current() === versions.newer, "what moved the schema stays", installed.current());
  });
  await stage.step("a person goes back as the manual says", async () => {
    const [newest = ""] = (await backupsIn(installed)).slice(-1);
    const said = await machine.sh(`set -ex; ${wayBack(newest, stage.watch)}`);
    expect(said.code === 0, "each of its commands ends well", said.out + said.err);
    await centralRuns(installed, versions.next);
    await nothingMissing(stage);
  });
  return { rolledBackSeconds };
}

/** This version is what runs and answers, and nothing is open any more. */
export async function centralRuns(installed: InstalledCentral, version: string): Promise<void> {
  await installed.isActive();
  expect(installed.current() === version, `${version} is current`, installed.current());
  expect(!installed.isOnTrial(), "nothing is on trial any more");
  expect((await installed.running()) === version, `the process is version ${version}`, await installed.running());
  const health = await installed.side.call<{ version?: string }>("GET", "/health");
  expect(health.version === version, `${version} answers`, health);
}

/** Of what its plant was told that it is safe. */
export async function nothingMissing(stage: CentralStage): Promise<void> {
  await stage.warehouse.settled();
  await allRecorded(stage);
  await until(
    () => stage.gateway.health(),
    (health) => health?.link === "online",
  );
}

/** The commands of the manual, with the newest backup in the place where it leaves a gap; it is watched for less long. */
function wayBack(newest: string, watch: string): string {
  const manual = readFileSync(join(project, "packaging/docs/upgrading.md"), "utf8");
  const [, commands = ""] = /```sh\n(systemctl stop plantgate-central\n.*?)```/s.exec(manual) ?? [];
  expect(commands.includes("…"), "the manual says how central goes back", commands);
  return commands.replace(/\S*….*$/m, newest).replace("--no-backup", `--no-backup --watch ${watch}`);
}

/** The oldest first, as their names hold when they were taken. */
async function backupsIn({ machine }: InstalledCentral): Promise<string[]> {
  return (await machine.must(["find", backups, "-name", "*.tar.zst"])).trim().split("\n").sort();
}

/** From the moment when the bad version is current to the one when the version before answers again. */
async function switchedBack(installed: InstalledCentral, upgrading: Promise<unknown>): Promise<number> {
  await until(
    () => installed.current(),
    (current) => current === versions.bad,
    upgrading,
  );
  const since = performance.now();
  await until(
    async () =>
      installed.current() === versions.next && (await installed.running()) === versions.next && (await answers(installed)),
    (isBack) => isBack,
  );
  return Math.round((performance.now() - since) / 100) / 10;
}

function answers({ side }: InstalledCentral): Promise<boolean> {
  return side.call("GET", "/health").then(
    () => true,
    () => false,
  );
}
