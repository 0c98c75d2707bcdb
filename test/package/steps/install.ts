import { mebibytes } from "../figures.ts";
import { run } from "../programs.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";

const searches = ["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/usr/bin:/bin:/usr/games"];

/** The program comes onto a machine that has no runtime and no way to the world; nothing runs before it is enrolled. */
export async function install(stage: Stage): Promise<{ installSeconds: number; installedMiB: number }> {
  const { machine, way } = stage;
  await stage.step("no Node.js and no network but central's", async () => {
    await hasNoNode({ machine });
    const routes = (await machine.must(["ip", "route"])).trim().split("\n");
    expect(routes.length === 1 && !routes[0]?.startsWith("default"), "one route, to central alone", routes);
    const { hostname: centralAddress } = new URL(stage.central.url);
    for (const address of (await addressesHere()).filter((each) => each !== centralAddress)) {
      const { code } = await machine.run(["ip", "route", "get", address]);
      expect(code !== 0, `no way to ${address}`);
    }
    const { code } = await machine.run(["getent", "hosts", "example.com"]);
    expect(code !== 0, "no name is resolved");
    const reached = await machine.run(["bash", "-c", `exec 3<>/dev/tcp/${new URL(stage.central.url).host.replace(":", "/")}`]);
    expect(reached.code === 0, "central is reached", reached.err);
  });
  const file = way.bring("base");
  const before = await usedKiB(stage);
  const since = performance.now();
  const ended = await stage.step("installed", () => way.install(file));
  const installSeconds = Math.round((performance.now() - since) / 100) / 10;
  expect(ended.code === 0, "the installation ends well", ended.out + ended.err);
  const installedMiB = mebibytes(((await usedKiB(stage)) - before) * 1024);
  await stage.step("units are there, nothing runs, nothing listens", async () => {
    await hasNoNode({ machine });
    for (const unit of ["plantgate-gateway.service", "plantgate-gateway-upgrade.service", "plantgate-gateway-upgrade.path"])
      expect(
        (await machine.must(["systemctl", "show", "-p", "LoadState", unit])).trim() === "LoadState=loaded",
        `${unit} is known`,
      );
    const { active } = await stage.gateway.unit();
    expect(active === "inactive", "the gateway does not run before it is enrolled", active);
    const listening = (await machine.must(["ss", "-Hltun"])).trim();
    expect(listening === "", "no port is listened on", listening);
    const { out } = await stage.gateway.plantgate("--version");
    expect(out.includes(stage.gateway.current()), "the command says its version", out);
    const demo = await stage.gateway.plantgate("demo");
    expect(
      demo.code === 2 && demo.err.includes("unknown command 'demo'"),
      "the demo, which is in no package, is no command",
      demo,
    );
    const exposure = await stage.gateway.exposure();
    stage.note(`systemd-analyze security: ${exposure}`);
    expect(exposure < 2, "systemd-analyze security below 2.0", exposure);
  });
  return { installSeconds, installedMiB };
}

async function usedKiB({ machine }: Pick<Stage, "machine">): Promise<number> {
  const said = await machine.must(["du", "-skxc", "/opt", "/usr", "/etc"]);
  return Number(/^(\d+)\s+total$/m.exec(said)?.[1]);
}

/** What is inside of the package is on nobody's path. */
async function hasNoNode({ machine }: Pick<Stage, "machine">): Promise<void> {
  for (const path of searches) {
    const { code, out } = await machine.sh("command -v node || command -v nodejs || command -v npm", { env: { PATH: path } });
    expect(code !== 0, `no Node.js on ${path}`, out);
  }
}

async function addressesHere(): Promise<string[]> {
  const { out } = await run(["ip", "-o", "-4", "addr", "show", "scope", "global"]);
  return [...out.matchAll(/inet (\d+\.\d+\.\d+\.\d+)\//g)].map(([, address]) => address as string);
}
