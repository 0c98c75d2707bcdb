import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces a small file whole: a crash at any moment leaves the old or the new one. Flushed on return, readable by its owner alone. */
export function writeFlushed(file: string, content: Uint8Array): void {
  const staged = `${file}.new`;
  const handle = openSync(staged, "w", 0o600);
  try {
    // writes all of it or throws: a nearly full disk takes a part of what a single write is given
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(staged, file);
  const folder = openSync(dirname(file), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Whether a disk was full, or what its owner may have of it. */
export function isNoRoom(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
