import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folder.ts";

/** A file system of its own, as small as the test wants it; only root can mount one. */
export function smallDisk(mebibytes: number, options: { readonly files?: number } = {}) {
  const folder = temporaryFolder();
  const path = join(folder.path, "disk");
  mkdirSync(path);
  const { files = 0 } = options;
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,nr_inodes=${files}`, "tmpfs", path]);
  const filler = join(path, "filler");
  const emptyFiles = join(path, "files");
  return {
    path,
    /** Leaves so many KiB free. */
    fill(leftKib: number): void {
      const { bavail, bsize } = statfsSync(path);
      const before = existsSync(filler) ? readFileSync(filler).length : 0;
      writeFileSync(filler, Buffer.alloc(Math.max(0, before + bavail * bsize - leftKib * 1024)));
    },
    /** Leaves room for no file more. */
    fillWithFiles(): void {
      mkdirSync(emptyFiles);
      for (let n = 0; ; n++) {
        try {
          writeFileSync(join(emptyFiles, String(n)), "");
        } catch {
          return;
        }
      }
    },
    free(): void {
      rmSync(filler, { force: true });
      rmSync(emptyFiles, { force: true, recursive: true });
    },
    [Symbol.dispose](): void {
      execFileSync("umount", ["-l", path]);
      folder[Symbol.dispose]();
    },
  };
}
export type SmallDisk = ReturnType<typeof smallDisk>;
