import { closeSync, openSync, readdirSync, readlinkSync, realpathSync } from "node:fs";

/**
 * Puts another file in the place of one that this process has open, under the same number: whoever writes to it meets that one's errors,
 * from the system itself. Disposing puts the file back.
 */
export function replaceOpenHandle(path: string, by: string, flags: "r" | "r+"): Disposable {
  const wanted = realpathSync(path);
  const handle = readdirSync("/proc/self/fd")
    .map(Number)
    .find((each) => linkOf(each) === wanted);
  if (handle === undefined) throw new Error(`${path} is not open`);
  put(handle, by, flags);
  return { [Symbol.dispose]: () => put(handle, path, "r+") };
}

function linkOf(handle: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${handle}`);
  } catch {
    return undefined;
  }
}

/** A handle that is opened takes the lowest number that is free: those below are taken until it is the right one. */
function put(handle: number, path: string, flags: string): void {
  closeSync(handle);
  const below: number[] = [];
  for (let opened = openSync(path, flags); opened !== handle; opened = openSync(path, flags)) below.push(opened);
  for (const each of below) closeSync(each);
}
