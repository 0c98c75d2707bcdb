import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";

const deepest = 1;
const mostEntries = 5000;

/** What in a data folder is a pipe, a socket or a device: whoever opens it to read may never come back. Also by a link. */
export function specialFiles(dataDir: string): string[] {
  const found: string[] = [];
  let seen = 0;
  const walk = (folder: string, depth: number): void => {
    for (const name of namesIn(folder)) {
      if (++seen > mostEntries) return;
      const path = join(folder, name);
      const stats = look(path);
      if (!stats) continue;
      if (stats.isDirectory()) {
        if (depth < deepest) walk(path, depth + 1);
      } else if (!stats.isFile()) found.push(relative(dataDir, path));
    }
  };
  walk(dataDir, 0);
  return found;
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
