import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A file system of its own on a disk of its own; root can make one. */
export function loopDisk(folder: string, mebibytes: number) {
  const image = join(folder, "disk.img");
  const path = join(folder, "disk");
  mkdirSync(path);
  execFileSync("truncate", ["-s", `${mebibytes}M`, image]);
  execFileSync("mkfs.ext4", ["-q", "-F", "-m", "0", "-N", "1024", image]);
  execFileSync("mount", ["-o", "loop", image, path]);
  return {
    path,
    /** Leaves so many MiB free. */
    fill(leftMib: number): void {
      const { bavail, bsize } = statfsSync(path);
      execFileSync("fallocate", ["-l", String(bavail * bsize - leftMib * 1024 * 1024), join(path, "filler")]);
    },
    /** Leaves room for so many files. */
    useInodes(left: number): void {
      mkdirSync(join(path, "many"));
      const { ffree } = statfsSync(path);
      for (let index = left; index < ffree; index++) writeFileSync(join(path, "many", String(index)), "");
    },
    free(): void {
      execFileSync("rm", ["-rf", join(path, "filler"), join(path, "many")]);
    },
    remount(how: "ro" | "rw"): void {
      execFileSync("mount", ["-o", `remount,${how}`, path]);
    },
    [Symbol.dispose](): void {
      execFileSync("umount", ["-l", path]);
    },
  };
}
