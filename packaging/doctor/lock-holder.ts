import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Holder } from "../../protocol/index.ts";

/**
 * The process that holds a lock on a file, as Linux lists them: to try the lock would keep another from starting just then. An inode's number
 * is one of its device alone, and not all file systems name that as the list does: then whoever has the file open is meant.
 */
export function lockHolder(file: string): Holder | undefined {
  return holderOf(file) ?? holderOfDeleted(file);
}

function holderOf(file: string): Holder | undefined {
  try {
    const { ino, dev } = statSync(file);
    const device = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)].map((part) => part.toString(16).padStart(2, "0"));
    const holders = writeLocks().filter(([, , , , , place]) => place?.split(":")[2] === String(ino));
    const exact = holders.find(([, , , , , place]) => place?.startsWith(`${device.join(":")}:`));
    const pid = exact?.[4] ?? holders.find(([, , , , holder]) => holder !== undefined && hasOpen(holder, { dev, ino }))?.[4];
    return pid === undefined ? undefined : { pid: Number(pid) };
  } catch {
    // no such file yet, or no Linux
    return undefined;
  }
}

/** Of a file that was there under this name, on this disk, and has no name any more. */
function holderOfDeleted(file: string): Holder | undefined {
  try {
    const { dev } = statSync(dirname(file));
    const pids = new Set(writeLocks().map(([, , , , pid]) => pid));
    for (const pid of pids)
      if (pid !== undefined && hasDeleted(pid, { dev, name: basename(file) })) return { pid: Number(pid), isLockGone: true };
  } catch {
    // no such folder, or no Linux
  }
  return undefined;
}

function hasDeleted(pid: string, { dev, name }: { readonly dev: number; readonly name: string }): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((handle) => {
      const path = `/proc/${pid}/fd/${handle}`;
      if (!readlinkSync(path).endsWith(`/${name} (deleted)`)) return false;
      const open = statSync(path);
      return open.nlink === 0 && open.dev === dev;
    });
  } catch {
    return false;
  }
}

function writeLocks(): string[][] {
  const lines = readFileSync("/proc/locks", "utf8").split("\n");
  return lines.map((line) => line.trim().split(/\s+/)).filter(([, , , mode]) => mode === "WRITE");
}

/** Not by its path, which in another mount namespace is another file's. */
function hasOpen(pid: string, { dev, ino }: { readonly dev: number; readonly ino: number }): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((handle) => {
      const open = statSync(`/proc/${pid}/fd/${handle}`, { throwIfNoEntry: false });
      return open?.ino === ino && open.dev === dev;
    });
  } catch {
    return false;
  }
}
