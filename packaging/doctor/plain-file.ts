import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";

/**
 * A file of somebody who is not trusted, as root reads it: itself, not what a link names, nothing that waits for a writer, nothing large.
 * @returns undefined where it is not such a file
 */
export function readPlain(file: string, mostBytes: number): Buffer | undefined {
  try {
    const handle = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    try {
      const stats = fstatSync(handle);
      return stats.isFile() && stats.size <= mostBytes ? readFileSync(handle) : undefined;
    } finally {
      closeSync(handle);
    }
  } catch {
    return undefined;
  }
}
