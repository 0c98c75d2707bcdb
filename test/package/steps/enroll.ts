import { expect } from "../steps.ts";
import type { Stage } from "../story.ts";
import { allRecorded } from "./recorded.ts";

/** The one step after the installation; from then on it runs, with the machine, as a user of its own. */
export async function enroll(stage: Stage): Promise<void> {
  const { machine, gateway, central, warehouse } = stage;
  await stage.step("enrolled: its key is confirmed at central", () => gateway.enroll(central));
  await stage.step("it runs, as a user of its own", async () => {
    await gateway.isActive();
    const { pid, user } = await gateway.unit();
    const owner = (await machine.must(["stat", "-c", "%U", `/proc/${pid}`])).trim();
    expect(owner === "plantgate-gateway" && user === owner, "it runs as plantgate-gateway", owner);
    const data = (await machine.must(["stat", "-c", "%U %a", "/var/lib/plantgate/gateway"])).trim();
    expect(data === "plantgate-gateway 700", "its data are its own", data);
    const strangers = (await machine.must(["find", "/var/lib/plantgate/gateway", "!", "-user", "plantgate-gateway"])).trim();
    expect(strangers === "", "nothing in its folder is somebody else's", strangers);
    const enabled = (await machine.run(["systemctl", "is-enabled", "plantgate-gateway.service"])).out.trim();
    expect(enabled === "enabled", "it starts with the machine", enabled);
    const listening = (await machine.must(["ss", "-Hltn"]))
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/)[3]);
    expect(
      listening.every((address) => address?.startsWith("127.0.0.1:")),
      "it listens on loopback alone",
      listening,
    );
  });
  await stage.step("configured from central; 20 messages of the plant are recorded there", async () => {
    await central.configure();
    await warehouse.send(20);
    await allRecorded(stage);
  });
  await stage.step("the same version once more restarts nothing", async () => {
    const before = await gateway.unit();
    const ended = await stage.way.install(stage.way.bring("base"));
    expect(ended.code === 0, "the installation ends well", ended.out + ended.err);
    const after = await gateway.unit();
    expect(after.invocation === before.invocation && after.pid === before.pid, "the same process runs on", { before, after });
    expect(!gateway.isOnTrial(), "nothing is on trial");
  });
}
