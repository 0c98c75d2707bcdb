import { closeSync, existsSync, openSync, statfsSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { run } from "../power/command.ts";
import { CopiedDisk } from "../power/copied-disk.ts";

const blockBytes = 4096;
const block = Buffer.alloc(blockBytes, 0x5a);

/** An ext4 file system of its own, and a file of somebody else's on it that takes the space. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;
  readonly #disk: CopiedDisk;
  readonly #foreign: string;

  private constructor(disk: CopiedDisk) {
    this.#disk = disk;
    this.path = disk.path;
    this.#foreign = join(disk.path, "somebody-elses.log");
  }

  static async open(folder: string, sizeMiB: number): Promise<SmallDisk> {
    return new SmallDisk(await CopiedDisk.open(folder, sizeMiB));
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Lets the foreign file grow until so much is free, to the last block where that is 0. */
  async fill(leaveBytes: number): Promise<void> {
    const grow = this.freeBytes - leaveBytes;
    if (grow > blockBytes) {
      const size = existsSync(this.#foreign) ? statSync(this.#foreign).size : 0;
      await run("fallocate", ["-o", String(size), "-l", String(grow - (grow % blockBytes)), this.#foreign]).catch(() => {});
    }
    if (leaveBytes > 0) return;
    const handle = openSync(this.#foreign, "a");
    try {
      for (;;) writeSync(handle, block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(handle);
    }
  }

  /** The foreign file is gone. */
  free(): void {
    unlinkSync(this.#foreign);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disk[Symbol.asyncDispose]();
  }
}
