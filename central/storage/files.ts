import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces a small file whole (0600): a crash at any moment leaves the old or the new one. Flushed on return. */
export function writeFlushed(file: string, text: string): void {
  const staged = `${file}.new`;
  const handle = openSync(staged, "w", 0o600);
  try {
    writeFileSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(staged, file);
  flushFolder(dirname(file));
}

/** What was renamed or removed in a folder stays so after a power cut. */
export function flushFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
