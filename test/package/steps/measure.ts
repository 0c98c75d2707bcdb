import { setTimeout as sleep } from "node:timers/promises";
import { mebibytes } from "../figures.ts";
import type { Stage } from "../story.ts";

const settleMs = 15_000;

/** What it needs while nothing happens, and how long it takes to be ready. */
export async function measure({ gateway, machine, step }: Stage): Promise<{ startSeconds: number; idleRssMiB: number }> {
  return step("measured", async () => {
    await machine.must(["systemctl", "stop", gateway.unitName]);
    const since = performance.now();
    // returns when it said that it is ready
    await machine.must(["systemctl", "start", gateway.unitName]);
    const startSeconds = Math.round((performance.now() - since) / 10) / 100;
    await sleep(settleMs);
    return { startSeconds, idleRssMiB: mebibytes((await gateway.rssKiB()) * 1024) };
  });
}
