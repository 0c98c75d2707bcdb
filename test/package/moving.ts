import { copyFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { attempt } from "./attempt.ts";
import { CentralOutside } from "./central.ts";
import { explain } from "./explain.ts";
import { InstalledGateway } from "./gateway.ts";
import { Machine } from "./machine.ts";
import { type MachineNetwork, openNetwork } from "./network.ts";
import { must, tail } from "./programs.ts";
import { keepRoot, unpackRoot } from "./root.ts";
import { allRecorded } from "./steps/recorded.ts";
import { expect, openSteps } from "./steps.ts";
import { until } from "./wait.ts";
import { Warehouse } from "./warehouse.ts";
import { bringFile } from "./ways.ts";

/**
 * `node test/package/moving.ts FILE.deb`: an installed gateway goes to other hardware, as packaging/docs/moving.md tells people to do it, between two booted
 * machines. Not part of `npm run test:package`, as it takes minutes.
 */

const data = "/var/lib/plantgate/gateway";
const unit = "plantgate-gateway.service";
const [, , deb] = process.argv;
if (deb === undefined) {
  process.stderr.write(
    "node test/package/moving.ts FILE.deb: one that npm run package made, such as out/packages/plantgate-gateway_0.1.0_amd64.deb\n",
  );
  process.exit(2);
}
const { step, note } = openSteps("move");
process.exitCode = await attempt("moving", async (folder) => {
  await keepRoot((what) => void process.stdout.write(`${what}\n`));
  await tell(resolve(deb), folder);
});

async function tell(file: string, folder: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const install = async (name: string, network: MachineNetwork): Promise<Machine> => {
    const root = join(folder, name);
    await unpackRoot(root);
    const machine = stack.use(new Machine(root, network));
    await machine.boot();
    await machine.must(["dpkg", "-i", bringFile(machine, file)], { env: { DEBIAN_FRONTEND: "noninteractive" } });
    return machine;
  };
  const [here, there] = [stack.use(await openNetwork()), stack.use(await openNetwork())];
  const old = await step("the old machine, with the package", () => install("old", here));
  const fresh = await step("the new machine, with the package", () => install("new", there));
  const central = stack.use(await CentralOutside.start(here.outside, folder)).side;
  // the new machine reaches central over its own cable
  await must(["ip", "-n", there.name, "route", "add", here.outside, "via", there.outside]);
  const [before, after] = [new InstalledGateway(old), new InstalledGateway(fresh)];
  const warehouse = stack.use(new Warehouse(here));
  try {
    await step("enrolled and configured, 20 messages recorded; 15 wait while the cable is out", async () => {
      await before.enroll(central);
      await before.isActive();
      await central.configure();
      await warehouse.send(20);
      await allRecorded({ central, warehouse });
      await here.cut();
      await warehouse.send(15);
      expect((await before.waiting()) >= 15, "15 messages wait");
    });
    await step("the new machine asks", async () => {
      const { code, out, err } = await after.plantgate("gateway", "move-in", "--request", "/root/lyon-new.json");
      expect(code === 0 && /^[0-9a-f]{64}$/.test(out.trim()), "a request with its fingerprint", out + err);
      await isAllItsOwn(fresh);
      copyFileSync(fresh.path("root/lyon-new.json"), old.path("root/lyon-new.json"));
    });
    await step("the old one does not go while it runs, and then goes", async () => {
      const moveOut = () => before.plantgate("gateway", "move-out", "--to", "/root/lyon-new.json", "--out", "/root/lyon.move");
      const running = await moveOut();
      expect(running.code !== 0 && running.err.includes(`systemctl stop ${unit}`), "it says how to stop it", running.err);
      expect(!old.exists("root/lyon.move"), "and leaves no file");
      await old.must(["systemctl", "disable", "--now", unit]);
      const { code, out, err } = await moveOut();
      expect(code === 0, "move-out ends well", out + err);
      note(out.trim());
      await isAllItsOwn(old);
      expect((await old.must(["stat", "-c", "%U %a", "/root/lyon.move"])).trim() === "root 600", "the file is root's alone");
      copyFileSync(old.path("root/lyon.move"), fresh.path("root/lyon.move"));
    });
    await step("the old one does not start again, by whatever hand", async () => {
      await old.run(["systemctl", "start", unit]);
      await until(
        () => old.run(["systemctl", "is-active", unit]),
        ({ out }) => out.trim() === "failed" || out.trim() === "inactive",
      );
      const said = await old.must(["journalctl", "--no-pager", "-u", unit, "-n", "20"]);
      expect(said.includes("was moved out of site") || said.includes("was moved out"), "its journal says why", tail(said));
      const { out: restarts } = await old.run(["systemctl", "show", "-p", "NRestarts", "--value", unit]);
      expect(Number(restarts) === 0, "it is not started over and over", restarts);
    });
    await step("the new one takes it in, and runs", async () => {
      const { code, out, err } = await after.plantgate("gateway", "move-in", "/root/lyon.move");
      expect(code === 0 && err.includes(`systemctl enable --now ${unit}`), "move-in says how to start it", out + err);
      await isAllItsOwn(fresh);
      expect(
        (await after.plantgate("gateway", "move-in", "/root/lyon.move")).out.includes("nothing was changed"),
        "the same again changes nothing",
      );
      await fresh.must(["systemctl", "enable", "--now", unit]);
      await after.isActive();
      await allRecorded({ central, warehouse });
      await isAllItsOwn(fresh);
      const { keys } = await central.call<{ keys: { state: string }[] }>("GET", "/v1/sites/lyon/keys");
      expect(
        keys
          .map(({ state }) => state)
          .sort()
          .join() === "active,moved",
        "the old key is left",
        keys,
      );
    });
    await step("the old one, put back by a mistake, is fenced", async () => {
      await here.join();
      const { code, out, err } = await old.run(["plantgate", "gateway", "move-out", "--undo"], { input: "lyon\n" });
      expect(code === 0, "undo ends well", out + err);
      await isAllItsOwn(old);
      await old.must(["systemctl", "start", unit]);
      await before.isActive();
      await until(
        () => before.health(),
        (health) => health?.link === "fenced",
      );
      await allRecorded({ central, warehouse });
    });
  } catch (error) {
    throw await explain(error, [old, fresh]);
  }
}

/** Whoever typed the command: the service has to be able to use what it left. */
async function isAllItsOwn(machine: Machine): Promise<void> {
  const strangers = (await machine.must(["find", data, "!", "-user", "plantgate-gateway"])).trim();
  expect(strangers === "", "nothing in its folder is somebody else's", strangers);
  const mode = (await machine.must(["stat", "-c", "%U %a", data])).trim();
  expect(mode === "plantgate-gateway 700", "its folder is its own", mode);
}
