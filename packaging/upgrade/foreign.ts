import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, renameSync, unlinkSync } from "node:fs";

const { O_RDONLY, O_NOFOLLOW, O_DIRECTORY, O_NONBLOCK } = constants;

/**
 * Opens the folder of a path below `base`, one part at a time from the handle of the one before, so that nobody who owns the folders can
 * lead root elsewhere. `base` itself lies in a folder of root's. @returns undefined where a part is not there, or is no folder
 */
function withFolder<Value>(base: string, parts: readonly string[], use: (folder: string) => Value): Value | undefined {
  const handles: number[] = [];
  try {
    handles.push(openSync(base, O_RDONLY | O_DIRECTORY));
    for (const part of parts) handles.push(openSync(`${pathOf(handles.at(-1))}/${part}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return use(pathOf(handles.at(-1)));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  } finally {
    for (const handle of handles) closeSync(handle);
  }
}

/**
 * Reads a regular file below `base`, no link being followed, no more than `maxBytes` of it.
 * @returns undefined where there is none; also for what is larger, and for what is no regular file
 */
export function readForeign(base: string, path: readonly string[], maxBytes: number): Buffer | undefined {
  return withFolder(base, path.slice(0, -1), (folder) => {
    // a pipe would keep whoever opens it waiting
    const handle = openSync(`${folder}/${path.at(-1)}`, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stat = fstatSync(handle);
      if (!stat.isFile() || stat.size > maxBytes) return undefined;
      const bytes = Buffer.alloc(stat.size);
      let at = 0;
      while (at < bytes.length) {
        const read = readSync(handle, bytes, at, bytes.length - at, at);
        if (read === 0) return undefined;
        at += read;
      }
      return bytes;
    } finally {
      closeSync(handle);
    }
  });
}

/** Takes a file below `base` away; where it is a link, the link; a folder gets another name. @returns whether there was anything */
export function removeForeign(base: string, path: readonly string[]): boolean {
  const removed = withFolder(base, path.slice(0, -1), (folder) => {
    const name = `${folder}/${path.at(-1)}`;
    if (lstatSync(name).isDirectory()) renameSync(name, `${name}.${Date.now()}`);
    else unlinkSync(name);
    return true;
  });
  return removed === true;
}

function pathOf(handle: number | undefined): string {
  return `/proc/self/fd/${handle}`;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && ["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(String(error.code));
}
