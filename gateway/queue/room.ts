import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from "node:fs";
import { isNoRoom } from "../write-flushed.ts";
import { codeOf } from "./damage.ts";

/** Enough that what a single failed write asked for would not fit either, in whatever blocks the file system gives. */
const probeBytes = 64 * 1024;

/** Writes a little beside the queue's file; injected so that a test can use a quota up. @throws what the system says of it */
export type ProbeRoom = (path: string) => void;

/**
 * What has no room when a write fails so: the disk, or what its owner may have of it; undefined: the disk failed. SQLite has SQLITE_FULL (13) and
 * SQLITE_IOERR_SHMSIZE (4874) for a full disk, and none for a quota: there it only says that a write failed (SQLITE_IOERR_WRITE, 778), so a
 * write beside the file has to tell.
 */
export function whatIsFull(error: unknown, path: string, probe: ProbeRoom = probeRoom): "disk" | "quota" | undefined {
  const code = codeOf(error);
  if ((code & 0xff) === 13 || code === 4874) return "disk";
  if (code === 778) return isQuota(errorOf(() => probe(path))) ? "quota" : undefined;
  if (!isNoRoom(error)) return undefined;
  return isQuota(error) ? "quota" : "disk";
}

function isQuota(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "EDQUOT";
}

function errorOf(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

function probeRoom(path: string): void {
  const file = `${path}.probe`;
  try {
    const handle = openSync(file, "w", 0o600);
    try {
      writeFileSync(handle, Buffer.alloc(probeBytes));
      // some file systems look at a quota only then
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } finally {
    rmSync(file, { force: true });
  }
}
