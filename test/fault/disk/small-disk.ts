import { closeSync, fstatSync, ftruncateSync, openSync, statfsSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CopiedDisk } from "../power/copied-disk.ts";

const chunk = Buffer.alloc(256 * 1024, 0x5a);

/** A small ext4 file system, and a file of somebody else's on it that takes the space. */
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
  fill(leaveBytes: number): void {
    const handle = openSync(this.#foreign, "a");
    try {
      for (let size = chunk.length; size >= 512; size = size / 2)
        while (this.freeBytes > leaveBytes + size) writeSync(handle, chunk, 0, size);
      while (leaveBytes === 0) writeSync(handle, chunk, 0, 4096);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(handle);
    }
  }

  /** Gives so much of it back; all of it where nothing is said. */
  free(bytes = Number.POSITIVE_INFINITY): void {
    if (bytes === Number.POSITIVE_INFINITY) {
      unlinkSync(this.#foreign);
      return;
    }
    const handle = openSync(this.#foreign, "r+");
    ftruncateSync(handle, Math.max(0, fstatSync(handle).size - bytes));
    closeSync(handle);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disk[Symbol.asyncDispose]();
  }
}
