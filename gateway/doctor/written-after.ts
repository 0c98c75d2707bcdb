import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { EpochMs } from "../../protocol/index.ts";

/** What the gateway wrote at a time that is yet to come: there is no other witness while central is away. */
export function writtenAfter(dataDir: string, time: EpochMs): string | undefined {
  try {
    for (const name of readdirSync(dataDir)) {
      const mtime = lstatSync(join(dataDir, name), { throwIfNoEntry: false })?.mtime;
      if (mtime && mtime.getTime() > time)
        return `${name} was written at ${mtime.toISOString()}: it is behind, or was ahead then`;
    }
  } catch {
    // a folder that is not ours to read: a matter of permissions
  }
  return undefined;
}
