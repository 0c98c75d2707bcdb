import { renameSync, rmSync } from "node:fs";
import type { KeyDisk } from "../../gateway/identity/identity.ts";
import type { MoveDisk } from "../../gateway/move/move-in.ts";
import { writeFlushed } from "../../gateway/write-flushed.ts";

/** Stops at its n-th step for good, before it or behind it, as a power cut does. */
export function cuttingDisk(at: number): KeyDisk & MoveDisk & { readonly steps: number } {
  let steps = 0;
  const step = (work: () => void): void => {
    if (steps++ >= at) throw new Error("cut");
    work();
    if (steps++ >= at) throw new Error("cut");
  };
  return {
    get steps() {
      return steps;
    },
    write: (file, content) => step(() => writeFlushed(file, content)),
    rename: (from, to) => step(() => renameSync(from, to)),
    remove: (path) => step(() => rmSync(path, { recursive: true, force: true })),
    flushFolder: () => step(() => {}),
  };
}
