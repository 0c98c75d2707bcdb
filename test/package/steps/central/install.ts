import type { InstalledCentral } from "../../installed-central.ts";
import type { Releases } from "../../releases.ts";
import { expect, type Steps } from "../../steps.ts";
import { until } from "../../wait.ts";
import { wayOf } from "../../ways.ts";

export interface Installing extends Steps {
  readonly installed: InstalledCentral;
  readonly releases: Releases;
}

/** Central's package comes onto its machine: it runs from then on, on loopback until its settings say otherwise. */
export async function installCentral({ step, note, installed, releases }: Installing): Promise<{ installSeconds: number }> {
  const { machine } = installed;
  const way = wayOf("deb", machine, releases, "central");
  const file = way.bring("base");
  const since = performance.now();
  await step("central is installed on a machine of its own, and runs", async () => {
    const { code, out, err } = await way.install(file);
    expect(code === 0, "the installation ends well", out + err);
    await installed.isActive();
  });
  const installSeconds = Math.round((performance.now() - since) / 100) / 10;
  await step("it does what its unit lets it, as a user of its own", async () => {
    const { pid, user } = await installed.unit();
    const owner = (await machine.must(["stat", "-c", "%U", `/proc/${pid}`])).trim();
    expect(owner === "plantgate-central" && user === owner, "it runs as plantgate-central", owner);
    const data = (await machine.must(["stat", "-c", "%U %a", "/var/lib/plantgate/central"])).trim();
    expect(data === "plantgate-central 700", "its data are its own", data);
    const status = await machine.must(["cat", `/proc/${pid}/status`]);
    const says = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)$`, "m").exec(status)?.[1] ?? "";
    const bounds = { CapEff: says("CapEff"), CapBnd: says("CapBnd"), NoNewPrivs: says("NoNewPrivs"), Seccomp: says("Seccomp") };
    expect(
      bounds.CapEff === "0000000000000000" &&
        bounds.CapBnd === bounds.CapEff &&
        bounds.NoNewPrivs === "1" &&
        bounds.Seccomp === "2",
      "the kernel holds it to what the unit says",
      bounds,
    );
    for (const place of ["/etc/plantgate", "/opt/plantgate/central", "/var/lib/plantgate", "/usr"]) {
      const { code } = await machine.run(["nsenter", "-t", String(pid), "-m", "touch", `${place}/.written`]);
      expect(code !== 0, `nobody in its place can write in ${place}`);
    }
    for (const unit of [installed.unitName, "plantgate-central-backup.service"]) {
      const exposure = await installed.exposure(unit);
      note(`systemd-analyze security ${unit}: ${exposure}`);
      expect(exposure < 2, "systemd-analyze security below 2.0", exposure);
    }
    expect((await listening(installed)) === "127.0.0.1:8420", "it listens on loopback alone", await listening(installed));
    for (const unit of ["plantgate-central.service", "plantgate-central-upgrade.service"])
      expect((await enabled(installed, unit)) === "enabled", `${unit} starts with the machine`);
    expect(
      (await enabled(installed, "plantgate-central-backup.timer")) === "disabled",
      "no backup is taken that nobody asked for",
    );
    const invited = (await machine.sh("journalctl --no-pager -o cat -u plantgate-central | grep firstLink")).out;
    expect(/signin\?code=/.test(invited), "its journal has the link for the first admin", invited);
  });
  await step("its settings let the plant reach it", async () => {
    installed.listenToAll();
    await machine.must(["systemctl", "restart", installed.unitName]);
    expect((await listening(installed)) === "0.0.0.0:8420", "it listens where its settings say", await listening(installed));
    await until(
      () =>
        installed.side.call("GET", "/health").then(
          () => true,
          () => false,
        ),
      (answers) => answers,
    );
  });
  return { installSeconds };
}

async function listening({ machine }: InstalledCentral): Promise<string> {
  const lines = (await machine.must(["ss", "-Hltn"])).trim().split("\n");
  // several of its own sockets share the port
  return [...new Set(lines.map((line) => line.split(/\s+/)[3]))].join(" ");
}

async function enabled({ machine }: InstalledCentral, unit: string): Promise<string> {
  return (await machine.run(["systemctl", "is-enabled", unit])).out.trim();
}
