import { mkdirSync, statfsSync } from "node:fs";
import { requireService } from "../support/services.ts";
import { openNetwork } from "./network.ts";
import { run } from "./programs.ts";
import { runs } from "./root.ts";

/** A part of what booting a machine does, where it is gone with the process that did it. */
const namespaces = "unshare --mount --propagation private --pid --uts --ipc --cgroup --net --fork sh -ec".split(" ");
const mounts = `for each in proc tmpfs devpts cgroup2; do mount -t $each none /mnt; done
mkdir /mnt/plantgate-$$
rmdir /mnt/plantgate-$$`;

/** Three roots and the packages of five versions. */
const room = 6e9;

/** What is missing for a machine to be booted here, said so that a person can get it; empty: nothing. */
export async function missing(): Promise<string[]> {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))
    return ["it boots a Debian: that takes Linux on x64 or arm64"];
  if (process.getuid?.() !== 0) return ["it mounts file systems and makes networks: run it as root"];
  const lacks: string[] = [];
  for (const service of ["debootstrap", "ip"] as const)
    if ((await requireService(service)) === undefined) lacks.push(`${service} is missing`);
  mkdirSync(runs, { recursive: true });
  const { bavail, bsize } = statfsSync(runs);
  if (bavail * bsize < room) lacks.push(`its machines need ${room / 1e9} GB of room in ${runs}`);
  if (lacks.length > 0) return lacks;
  const advice = "run it on a machine of its own, or in a container that may do all (--privileged)";
  for (const script of ["true", mounts]) {
    const { code, err } = await run([...namespaces, script]);
    if (code !== 0)
      return [`${script === "true" ? "namespaces" : "mounts or control groups"} cannot be made here: ${err.trim()}; ${advice}`];
  }
  try {
    await (await openNetwork())[Symbol.asyncDispose]();
    return [];
  } catch (error) {
    return [`networks cannot be made here: ${(error as Error).message}; ${advice}`];
  }
}
