import type { Machine } from "../machine.ts";
import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { allRecorded } from "./recorded.ts";

const data = "var/lib/plantgate/gateway";
/** Debian's own notes, and what says what happened. */
const others = ["var/log/", "var/lib/dpkg/", "var/cache/", "var/lib/systemd/", "var/lib/private", "root/"];

/** Away with it: never with messages that are nowhere else, unless somebody says so. */
export async function remove(stage: Stage): Promise<void> {
  const { gateway, machine, warehouse, way } = stage;
  await stage.step("removed with 10 messages waiting: the data stay", async () => {
    await machine.network.cut();
    await warehouse.send(10);
    const { code, out, err } = await way.remove();
    expect(code === 0, "it ends well", out + err);
    expect(machine.exists(`${data}/gateway.json`), "its data are there");
    const { code: known } = await machine.run(["plantgate", "--version"]);
    expect(known === 127, "the command is gone");
    const left = (await machine.run(["systemctl", "is-active", "plantgate-gateway.service", "plantgate-gateway-upgrade.path"]))
      .out;
    expect(!/^active$/m.test(left), "nothing of it runs", left);
  });
  await stage.step("purged with nobody to ask: the queue is kept, and it says how to delete it", async () => {
    const { code, out, err } = await way.purge(false);
    expect(code === 0, "it ends well", out + err);
    expect(machine.exists(`${data}/gateway.json`), "the queue is there");
    expect((out + err).includes(`rm -rf /${data}`) && /10/.test(out + err), "it says what waits and how to delete it", out + err);
    stage.note((out + err).trim().split("\n").at(-1) ?? "");
  });
  await stage.step("installed again: it runs, and what waited comes to central", async () => {
    const { code, out, err } = await way.install(way.bring("base"));
    expect(code === 0, "it ends well", out + err);
    await gateway.isActive();
    await machine.network.join();
    await allRecorded(stage);
  });
  await stage.step("purged with consent: nothing of ours is left", async () => {
    await machine.network.cut();
    await warehouse.send(5);
    for (const ended of [await way.remove(), await way.purge(true)])
      expect(ended.code === 0, "it ends well", ended.out + ended.err);
    await nothingLeft(machine);
    const users = (await machine.must(["grep", "plantgate", "/etc/passwd"])).trim();
    stage.note(`what stays: ${users}`);
  });
}

/** Neither file nor unit nor listener of ours is on it any more. */
export async function nothingLeft(machine: Machine): Promise<void> {
  const found = await machine.must(["find", "/", "-xdev", "-iname", "*plantgate*", "-not", "-path", "/proc/*"]);
  const left = found
    .trim()
    .split("\n")
    .filter((path) => path !== "" && !others.some((place) => path.startsWith(`/${place}`)));
  expect(left.length === 0, "no file of ours", left);
  const units = (await machine.run(["systemctl", "list-unit-files", "--no-legend", "plantgate*"])).out.trim();
  expect(units === "", "no unit of ours", units);
  const running = (await machine.run(["ss", "-Hltn"])).out.trim();
  expect(running === "", "nothing listens", running);
}
