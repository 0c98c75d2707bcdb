import { execFile } from "node:child_process";
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { promisify } from "node:util";
import { flushFolder } from "../../gateway/write-flushed.ts";
import { readForeign, removeForeign } from "./foreign.ts";
import type { Disk } from "./machine.ts";

/** The machine's own disk. */
export const machineDisk: Disk = {
  read: (file) => (existsSync(file) ? readFileSync(file, "utf8") : undefined),
  readForeign,
  removeForeign,
  exists: existsSync,
  names: (folder) => (existsSync(folder) ? readdirSync(folder) : []),
  pointsTo(link) {
    try {
      return basename(readlinkSync(link));
    } catch {
      return undefined;
    }
  },
  freeBytes(folder) {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  },
  write(file, text) {
    replace(file, text, 0o644);
  },
  point(link, target) {
    const staged = `${link}.new`;
    rmSync(staged, { force: true });
    symlinkSync(target, staged);
    renameSync(staged, link);
    flushFolder(dirname(link));
  },
  remove(file) {
    rmSync(file, { force: true });
    flushFolder(dirname(file));
  },
  rename(from, to) {
    renameSync(from, to);
    flushFolder(dirname(to));
  },
  removeTree(folder) {
    rmSync(folder, { recursive: true, force: true });
  },
  makeFolder(folder) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  },
  writeBytes(file, bytes) {
    replace(file, bytes, 0o600);
  },
  async flushTree(folder) {
    // syncfs: one call for some ten thousand files
    await promisify(execFile)("sync", ["--file-system", folder]);
  },
};

function replace(file: string, content: string | Uint8Array, mode: number): void {
  const staged = `${file}.new`;
  rmSync(staged, { force: true });
  const handle = openSync(staged, "wx", mode);
  try {
    // whatever the caller's umask is
    fchmodSync(handle, mode);
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(staged, file);
  flushFolder(dirname(file));
}
