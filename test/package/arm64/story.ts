import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../gateway/version.ts";
import { project } from "../../../packaging/package/workspace.ts";
import { CentralOutside, type CentralSide } from "../central.ts";
import { explain } from "../explain.ts";
import { InstalledGateway } from "../gateway.ts";
import { InstalledRole } from "../installed.ts";
import { Machine } from "../machine.ts";
import { openNetwork } from "../network.ts";
import { Releases, versions } from "../releases.ts";
import { unpackRoot } from "../root.ts";
import { allRecorded } from "../steps/recorded.ts";
import { expect, openSteps, type Steps } from "../steps.ts";
import { bringFile, type Way, wayOf } from "../ways.ts";
import { floorFiles, publish, secret } from "./floor.ts";

interface Stage extends Steps {
  readonly machine: Machine;
  readonly gateway: InstalledGateway;
  readonly central: CentralSide;
  readonly way: Way;
}

/**
 * What a unit has to do without where QEMU emulates its processes: QEMU makes no process in new namespaces, as systemd wants it for
 * these. Of seccomp it knows nothing: filters are left out by systemd itself.
 */
const dropIn = "[Service]\nLoadCredential=\nPrivateUsers=no\nPrivateIPC=no\nTimeoutStartSec=20min\nWatchdogSec=0\n";

const packages = {
  deb: `plantgate-gateway_${version}_arm64.deb`,
  archive: `plantgate-${version}-linux-arm64.tar.gz`,
  foreignDeb: `plantgate-gateway_${version}_amd64.deb`,
  foreignArchive: `plantgate-${version}-linux-x64.tar.gz`,
};

/** What was made for arm64, on a machine for arm64 that enrolls at a central of this machine's architecture. */
export async function tellArm64Story(folder: string): Promise<Record<string, unknown>> {
  for (const name of Object.values(packages))
    if (!existsSync(join(project, "out/packages", name)))
      throw new Error(`${name} is not in out/packages: run "npm run package" first`);
  const releases = new Releases(join(folder, "later"), ["deb", "tar"], { central: false }, "arm64");
  const steps = openSteps("arm64");
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await openNetwork());
  const root = join(folder, "plant");
  await steps.step("a fresh Debian 12 for arm64", () => unpackRoot(root, "arm64"));
  const machine = stack.use(new Machine(root, network));
  try {
    await steps.step("it boots", () => machine.boot());
    const central = stack.use(
      await steps.step("central starts outside", () => CentralOutside.start(network.outside, folder)),
    ).side;
    const stage: Stage = {
      ...steps,
      machine,
      gateway: new InstalledGateway(machine),
      central,
      way: wayOf("deb", machine, releases),
    };
    const installSeconds = await installDeb(stage);
    await enroll(stage);
    await survivePowerCut(stage);
    await lookAround(stage);
    await upgrade(stage, releases);
    await purge(stage);
    await installArchive(stage, wayOf("tar", machine, releases, "central"));
    return {
      arm64DebMiB: mebibytes(packages.deb),
      arm64TarMiB: mebibytes(packages.archive),
      installSeconds,
      emulated: process.arch !== "arm64",
    };
  } catch (error) {
    throw await explain(error, [machine]);
  }
}

async function installDeb({ machine, gateway, way, step, note }: Stage): Promise<number> {
  await step("packages for another architecture are refused", async () => {
    const uname = (await machine.must(["uname", "-m"])).trim();
    expect(uname === "aarch64", "the machine is one for arm64", uname);
    const [foreignDeb, foreignArchive] = [packages.foreignDeb, packages.foreignArchive].map((name) =>
      bringFile(machine, join(project, "out/packages", name)),
    ) as [string, string];
    const deb = await machine.run(["dpkg", "-i", foreignDeb]);
    expect(deb.code !== 0 && deb.err.includes("does not match system (arm64)"), "dpkg refuses it", deb.err);
    const archive = await machine.sh(
      `mkdir /root/foreign && tar -xzf ${foreignArchive} -C /root/foreign --strip-components=1 && /root/foreign/install.sh gateway`,
    );
    expect(archive.code === 1 && archive.err.includes("this archive is for linux-x64"), "install.sh refuses it", archive.err);
  });
  const since = performance.now();
  await step("the Debian package is installed", async () => {
    const { code, out, err } = await way.install(way.bring("base"));
    expect(code === 0, "it ends well", out + err);
  });
  const installSeconds = Math.round((performance.now() - since) / 100) / 10;
  await step("its command runs, its unit is what it is elsewhere", async () => {
    const said = await gateway.plantgate("--version");
    expect(said.code === 0 && said.out.trim() === version, "the command says its version", said.out + said.err);
    const exposure = await gateway.exposure();
    note(`systemd-analyze security: ${exposure}`);
    expect(exposure < 2, "systemd-analyze security below 2.0", exposure);
    await alterUnit(machine, gateway.unitName);
  });
  return installSeconds;
}

async function enroll({ machine, gateway, central, step }: Stage): Promise<void> {
  await step("enrolled at a central of another architecture", async () => {
    await gateway.enroll(central);
    await gateway.isActive();
    const { pid } = await gateway.unit();
    const owner = (await machine.must(["stat", "-c", "%U", `/proc/${pid}`])).trim();
    expect(owner === "plantgate-gateway", "it runs as plantgate-gateway", owner);
  });
  await step("configured; 20 messages over MQTT are recorded at central", async () => {
    await central.call("PUT", `/v1/secrets/${secret.name}`, { value: secret.value });
    await central.configure(floorFiles(central.site, machine.network.inside));
    await publish(machine.network, 1, 20);
    await recorded(central, 20);
  });
}

async function survivePowerCut({ machine, gateway, central, step }: Stage): Promise<void> {
  await step("20 messages more are acknowledged while the cable is out; the power fails; what boots brings them", async () => {
    await machine.network.cut();
    await publish(machine.network, 21, 40);
    await machine.cutPower();
    await machine.boot();
    await gateway.isActive();
    await machine.network.join();
    await recorded(central, 40);
  });
}

async function lookAround({ gateway, machine, step }: Stage): Promise<void> {
  await step("doctor finds nothing wrong; a support bundle is made", async () => {
    const doctor = await gateway.plantgate("doctor");
    expect(doctor.code === 0, "no fault", doctor.out + doctor.err);
    const bundle = await gateway.plantgate("support-bundle", "--out", "/root/bundle.tar.gz");
    expect(bundle.code === 0 && machine.exists("root/bundle.tar.gz"), "support-bundle ends well", bundle.out + bundle.err);
  });
}

/** By the updater, with central away. */
async function upgrade({ machine, gateway, central, way, step }: Stage, releases: Releases): Promise<void> {
  await step("the next version is made", () => releases.repack("deb", "last", { from: "base" }));
  await step(`${versions.last} is kept, with what waited`, async () => {
    await machine.network.cut();
    await publish(machine.network, 41, 60);
    const { code, out, err } = await gateway.plantgate("upgrade", way.bring("last"), "--watch", "10s");
    expect(code === 0, "it is kept", out + err);
    expect(gateway.current() === versions.last, "it is what runs", gateway.current());
    await machine.network.join();
    await recorded(central, 60);
  });
}

async function purge({ machine, way, step }: Stage): Promise<void> {
  await step("purged with consent", async () => {
    const { code, out, err } = await way.purge(true);
    expect(code === 0, "it ends well", out + err);
    expect(
      !machine.exists("opt/plantgate/gateway") && !machine.exists("var/lib/plantgate/gateway"),
      "nothing is left",
      out + err,
    );
  });
}

/** The other role, the other way. */
async function installArchive({ machine, step }: Stage, way: Way): Promise<void> {
  await step("central comes from the archive, and runs", async () => {
    // it starts at once
    await alterUnit(machine, "plantgate-central.service");
    const { code, out, err } = await way.install(way.bring("base"));
    expect(code === 0, "install.sh ends well", out + err);
    const central = new InstalledRole(machine, "central");
    await central.isActive();
    const ask = `const answer = await fetch("http://127.0.0.1:8420/health"); process.exit(answer.ok ? 0 : 1);`;
    const health = await machine.sh(
      `LD_LIBRARY_PATH=/opt/plantgate/central/current/lib /opt/plantgate/central/current/bin/node --input-type=module -e '${ask}'`,
    );
    expect(health.code === 0, "it answers", health.err);
  });
}

function recorded(central: CentralSide, count: number): Promise<void> {
  return allRecorded({ central, warehouse: { acknowledged: count } });
}

async function alterUnit(machine: Machine, unit: string): Promise<void> {
  machine.write(`etc/systemd/system/${unit}.d/emulated.conf`, process.arch === "arm64" ? "" : dropIn);
  await machine.must(["systemctl", "daemon-reload"]);
}

function mebibytes(name: string): number {
  return Math.round((statSync(join(project, "out/packages", name)).size / 1024 ** 2) * 10) / 10;
}
