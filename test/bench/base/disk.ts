import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const mib = 1024 * 1024;

/** What a folder takes on the disk: allocated blocks, not lengths. */
export function diskMiB(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    // a file that went away between the two calls takes nothing
    const stat = statSync(join(folder, name), { throwIfNoEntry: false });
    if (stat?.isFile()) bytes += stat.blocks * 512;
  }
  return bytes / mib;
}

/** The memory that a running process has resident now. */
export function rssMiB(pid: number): number {
  return memoryMiB(pid, "VmRSS");
}

/** The most memory that a running process has had resident so far, as the kernel keeps it. */
export function peakRssMiB(pid: number): number {
  return memoryMiB(pid, "VmHWM");
}

function memoryMiB(pid: number, field: "VmRSS" | "VmHWM"): number {
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) / 1024;
}
