import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "../random.ts";
import type { CutReport } from "./block-log.ts";
import { BlockLogDisk } from "./block-log-disk.ts";
import { CopiedDisk } from "./copied-disk.ts";

/** What runs on a disk, as the disk sees it when its power goes. */
export interface Machine {
  /** The power is gone: what is acknowledged from now on was never possible. */
  gone?(): void;
  /** SIGKILL, to all that has files open there; resolves when it has ended. */
  kill(): Promise<void>;
}

/** `amidst`: while writes wait for their flush, where journals and logs are most delicate. Unsaid: now this, now that. */
export type Moment = "any" | "amidst";

/** An ext4 file system whose power can be taken away. */
export interface CuttableDisk extends AsyncDisposable {
  /** How the cut is made, in a few words. */
  readonly method: string;
  /** Where it is mounted. */
  readonly path: string;
  /** Takes the power away at a moment that the disk chooses, and mounts what survived. */
  cut(random: Random, machine: Machine, moment?: Moment): Promise<CutReport>;
}

/** The strongest means that runs here: the block log where there is /dev/fuse, else copies of a loop device's file. */
export function openCuttableDisk(folder: string, sizeMiB: number): Promise<CuttableDisk> {
  return existsSync("/dev/fuse") ? BlockLogDisk.open(folder, sizeMiB) : CopiedDisk.open(folder, sizeMiB);
}

/** A mount point below `folder`, gone with the disk. */
export async function makeMountPoint(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  return path;
}
