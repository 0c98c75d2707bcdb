import { type Finding, fault, judgeLock, ok, unchecked, warning } from "../../protocol/index.ts";
import type { Facts } from "./facts.ts";

/** Whether the process that holds the folder answers; whether one should run is the service's check. */
export async function checkProcess(facts: Facts): Promise<Finding[]> {
  const running = await facts.running();
  if (running.kind === "silent")
    return [
      fault(
        `${running.pid === undefined ? "a process" : `process ${running.pid}`} holds the data folder, and its local listener does not answer`,
        "It may be starting (a large queue is looked through first), or hang: look at its log; restart it if it stays so",
      ),
    ];
  const lock = judgeLock(facts.place.holder);
  if (lock) return [lock];
  if (running.kind === "running") return [ok(`version ${running.health.version} runs`)];
  const settings = await facts.settings();
  if (facts.place.isService || !settings.known) return [unchecked("no gateway runs on this folder")];
  return [warning("no gateway runs on this folder", `Start it: plantgate gateway --data ${facts.place.dataDir}`)];
}
