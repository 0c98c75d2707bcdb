import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";

const mostEntries = 5000;
/** Of the disk, and root's: nobody looks into them. */
const foreign = new Set(["lost+found", ".snapshots"]);

/** What in a data folder, or a folder of it, is a pipe or a device: whoever reads it may never come back. Also by a link. */
export function specialFiles(dataDir: string): string[] {
  const top = namesIn(dataDir).filter((name) => !foreign.has(name));
  const paths = top.map((name) => join(dataDir, name));
  // all of the folder itself before what lies below it
  for (const folder of [...paths]) {
    if (paths.length > mostEntries) break;
    if (look(folder)?.isDirectory()) paths.push(...namesIn(folder).map((name) => join(folder, name)));
  }
  return paths
    .filter((path) => isEndless(path))
    .map((path) => relative(dataDir, path))
    .toSorted();
}

/** A socket refuses whoever opens it, and what is read of /dev/null ends at once. */
function isEndless(path: string): boolean {
  const stats = look(path);
  if (stats === undefined) return false;
  return stats.isFIFO() || stats.isBlockDevice() || (stats.isCharacterDevice() && stats.rdev !== look("/dev/null")?.rdev);
}

/** None of a folder that is not ours to look into, which is said elsewhere. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function look(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
