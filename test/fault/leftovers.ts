import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const prefix = "plantgate-fault-";
const processes = new Set<number>();

/** Where a run of this process keeps its things; the name says whose they are. */
export function folderPrefix(scenario: string): string {
  return join(tmpdir(), `${prefix}${process.pid}-${scenario}-`);
}

/** A process of the run; ended with it, however it ends. */
export function keepInMind(pid: number): void {
  processes.add(pid);
}

/** From here on nothing stays behind when this process ends by itself: processes, mounts, loop devices, folders. */
export function cleanAtExit(): void {
  process.on("exit", () => {
    for (const pid of processes) kill(pid);
    sweep(process.pid);
  });
}

/** What runs left that were killed themselves. */
export function sweepTheDead(): void {
  const owners = readdirSync(tmpdir()).flatMap((name) => {
    const owner = name.startsWith(prefix) ? Number(name.slice(prefix.length).split("-")[0]) : Number.NaN;
    return Number.isInteger(owner) && !existsSync(`/proc/${owner}`) ? [owner] : [];
  });
  for (const owner of new Set(owners)) sweep(owner);
}

function sweep(owner: number): void {
  const place = join(tmpdir(), `${prefix}${owner}-`);
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(place));
  // the file system on the loop device before the one that holds its file
  for (const path of mounts.toReversed()) attempt("umount", "-l", path);
  for (const line of attempt("losetup", "-n", "-O", "NAME,BACK-FILE").split("\n")) {
    const [device, file] = line.trim().split(/\s+/);
    if (device && file?.startsWith(place)) attempt("losetup", "-d", device);
  }
  for (const name of readdirSync(tmpdir()))
    if (join(tmpdir(), name).startsWith(place)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

function attempt(program: string, ...args: string[]): string {
  try {
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    return execFileSync(program, args, { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended
  }
}
