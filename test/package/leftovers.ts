import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { networkPrefix } from "./network.ts";
import { path } from "./programs.ts";
import { runs } from "./root.ts";

/** Takes away what runs left that were killed themselves; what ran in their machines ended with them. */
export function sweepTheDead(): void {
  for (const owner of owners()) if (!existsSync(`/proc/${owner}`)) sweep(owner);
}

/** From here on nothing stays when this process ends by itself, however it does. */
export function sweepAtExit(): void {
  process.on("exit", () => sweep(process.pid));
}

const publicPrefix = "plantgate-package-";

/** Where other users of this machine get at what belongs to a run. */
export function publicFolder(owner = process.pid): string {
  return join(tmpdir(), `${publicPrefix}${owner}`);
}

function owners(): Set<number> {
  const names = [
    ...list("/run/netns")
      .filter((name) => name.startsWith(networkPrefix))
      .map((name) => name.slice(networkPrefix.length)),
    ...list(runs),
    ...list(tmpdir())
      .filter((name) => name.startsWith(publicPrefix))
      .map((name) => name.slice(publicPrefix.length)),
  ];
  return new Set(names.map((name) => Number.parseInt(name, 10)).filter(Number.isInteger));
}

function sweep(owner: number): void {
  for (const name of list("/run/netns"))
    if (name.startsWith(`${networkPrefix}${owner}x`)) {
      // its machine's processes are in no other network
      const pids = said("ip", "netns", "pids", name)
        .split("\n")
        .map(Number)
        .filter((pid) => pid > 0);
      for (const pid of pids) end(pid);
      said("ip", "netns", "del", name);
    }
  removeGroup(`${networkPrefix}${owner}x`);
  for (const name of list("/sys/class/net")) if (name.startsWith(`pg${owner}x`)) said("ip", "link", "del", name);
  const folders = list(runs).filter((name) => name.startsWith(`${owner}-`));
  // many files: rm is much quicker than this runtime
  said("rm", "-rf", "--one-file-system", publicFolder(owner), ...folders.map((name) => join(runs, name)));
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

/** Takes machines' control groups away, which outlive what was in them: all whose names begin so. */
export function removeGroup(prefix: string): void {
  // whoever was killed just now is still in it for a moment
  const script = `mount -t cgroup2 none /mnt || exit; tries=0
    while find /mnt -type d -path "*/$0*" | grep -q . && [ $tries -lt 50 ]; do
      find /mnt -depth -type d -path "*/$0*" -exec rmdir {} + 2>/dev/null
      sleep 0.1; tries=$((tries + 1))
    done`;
  said("unshare", "--mount", "--propagation", "private", "sh", "-c", script, prefix);
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function said(program: string, ...args: string[]): string {
  return spawnSync(program, args, { env: { ...process.env, PATH: path }, encoding: "utf8" }).stdout ?? "";
}
