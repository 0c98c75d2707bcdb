import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Rig } from "../plant/rig.ts";
import { BlockLogDisk } from "../power/block-log-disk.ts";
import { run } from "../power/command.ts";
import { cutWriter } from "../power/control.ts";
import { type CuttableDisk, openCuttableDisk } from "../power/cuttable-disk.ts";
import type { Context, Outcome, Scenario } from "../scenario.ts";

/** Sparse: memory is taken for what is written only. */
const diskMiB = { control: 256, gateway: 1536, central: 3072 } as const;
const lifeMs = [1200, 3200] as const;

/** Power cuts of gateway and of central, each life going on with what survived the one before; and the control that a cut does take things. */
export const power: Scenario = {
  name: "power",
  purpose: "power cuts of gateway and central",
  needs: ["root", "loop"],
  async run({ quick, random, folder, say, signal }: Context): Promise<Outcome> {
    const count = quick ? 6 : 50;
    say("control: a writer that does not flush has to lose, one that does must not");
    const control = await tryControl(join(folder, "control"), quick ? 3 : 8, random.fork("control"));

    await mkdir(join(folder, "a"));
    await mkdir(join(folder, "b"));
    await using gatewayDisk = await openCuttableDisk(join(folder, "a"), diskMiB.gateway);
    await using centralDisk = await openCuttableDisk(join(folder, "b"), diskMiB.central);
    await using rig = await Rig.open({
      folder,
      gatewayDir: join(gatewayDisk.path, "gateway"),
      centralDir: join(centralDisk.path, "central"),
    });
    // what the installer wrote is not what is tried here
    await run("sync", ["-f", gatewayDisk.path]);
    await run("sync", ["-f", centralDisk.path]);
    const load = rig.startLoad();
    const cuts = { gateway: 0, central: 0 };
    const writes = { unflushed: 0, kept: 0, torn: 0, dropped: 0 };
    for (let cut = 0; cut < count && !signal.aborted; cut++) {
      await sleep(random.integer(...lifeMs));
      const victim = cut % 2 === 0 ? "gateway" : "central";
      const disk: CuttableDisk = victim === "gateway" ? gatewayDisk : centralDisk;
      const report = await disk.cut(random, { kill: () => rig[victim].kill() });
      for (const name of ["unflushed", "kept", "torn", "dropped"] as const) writes[name] += report[name];
      await rig[victim].start();
      cuts[victim] += 1;
      say(`cut ${cut + 1} of ${count} (${victim}), ${load.acknowledged} messages acknowledged`);
    }
    say("draining");
    const { outcome } = await rig.judge({ settleMs: 120_000, stalledMs: 60_000 });
    const findings = [
      ...outcome.findings,
      ...(control.normalLost === 0 ? ["the control lost nothing: these cuts prove nothing"] : []),
      ...(control.fullLost > 0 ? ["the control that flushes lost rows: the disk loses what was flushed"] : []),
    ];
    return {
      ...outcome,
      held: findings.length === 0,
      findings,
      entry: {
        powerCuts: cuts.gateway + cuts.central,
        ofGateway: cuts.gateway,
        ofCentral: cuts.central,
        powerCutMethod: gatewayDisk.method,
        negativeControlLost: control.normalLost,
        negativeControlAcknowledged: control.normalAcknowledged,
        flushingControlLost: control.fullLost,
        writes,
        watermarksLost: rig.log.lost,
        lost: outcome.lost,
        duplicates: outcome.duplicates,
        reordered: outcome.reordered,
        acknowledged: outcome.acknowledged,
        troubles: load.troubles,
      },
    };
  },
};

async function tryControl(
  folder: string,
  cuts: number,
  random: Context["random"],
): Promise<{ normalLost: number; normalAcknowledged: number; fullLost: number }> {
  await mkdir(folder);
  await using disk = await openCuttableDisk(folder, diskMiB.control);
  if (disk instanceof BlockLogDisk) await disk.selfTest();
  const full = await cutWriter(disk, random, { synchronous: "FULL", cuts });
  const normal = await cutWriter(disk, random, { synchronous: "NORMAL", cuts });
  return { normalLost: normal.lost, normalAcknowledged: normal.acknowledged, fullLost: full.lost };
}
