import { copyFile, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "../random.ts";
import type { CutReport } from "./block-log.ts";
import { detach, run, unmount } from "./command.ts";
import { type CuttableDisk, type Machine, makeMountPoint } from "./cuttable-disk.ts";

/** The weaker means, where there is no FUSE: ext4 on a loop device; at the cut its backing file is copied before anything is written back. */
export class CopiedDisk implements CuttableDisk {
  readonly method =
    "copy of a loop device's backing file at the kill (ext4, commit=300): unflushed pages are lost, nothing is reordered";
  readonly path: string;
  readonly #image: string;
  #loop = "";

  private constructor(image: string, path: string) {
    this.#image = image;
    this.path = path;
  }

  static async open(folder: string, sizeMiB: number): Promise<CopiedDisk> {
    const image = join(folder, "disk.image");
    const disk = new CopiedDisk(image, await makeMountPoint(folder, "disk"));
    await using handle = await open(image, "w");
    await handle.truncate(sizeMiB * 1024 * 1024);
    await run("mkfs.ext4", ["-q", "-m", "0", image]);
    await disk.#mount();
    return disk;
  }

  async cut(_random: Random, machine: Machine): Promise<CutReport> {
    await machine.kill();
    machine.gone?.();
    await copyFile(this.#image, `${this.#image}.cut`);
    await unmount(this.path);
    await run("losetup", ["-d", this.#loop]);
    await rename(`${this.#image}.cut`, this.#image);
    await this.#mount();
    return { unflushed: 0, kept: 0, torn: 0, dropped: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await detach(this.path);
    if (this.#loop !== "") await run("losetup", ["-d", this.#loop]).catch(() => {});
    await rm(this.path, { recursive: true, force: true });
    await rm(this.#image, { force: true });
  }

  async #mount(): Promise<void> {
    this.#loop = await run("losetup", ["--find", "--show", this.#image]);
    await run("mount", ["-t", "ext4", "-o", "noatime,commit=300", this.#loop, this.path]);
  }
}
