import { realpathSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { listed, mostNamed, octal } from "./named.ts";
import type { User } from "./users.ts";

/** What keeps a user from a path. */
export interface Barrier {
  readonly path: string;
  readonly mode: number;
  readonly needs: "enter" | "read" | "run";
}

/**
 * The first thing on the way to a path that keeps a user from it, by owners, groups and modes; undefined: nothing does, or it is not there. The kernel is
 * not asked as that user: all of this process would be that user meanwhile.
 * @param how `pass`: only what lies above it is judged
 */
export function barrierTo(user: User, path: string, how: "pass" | "read" | "run"): Barrier | undefined {
  if (user.uid === 0) return undefined;
  try {
    const real = realpathSync(path);
    for (const folder of foldersAbove(real)) {
      const stats = statSync(folder);
      if (!may(user, stats, mayEnter)) return { path: folder, mode: stats.mode, needs: "enter" };
    }
    const stats = statSync(real);
    const wanted = how === "pass" ? 0 : mayRead | (how === "run" || stats.isDirectory() ? mayEnter : 0);
    return may(user, stats, wanted) ? undefined : { path: real, mode: stats.mode, needs: how === "run" ? "run" : "read" };
  } catch {
    return undefined;
  }
}

const mayRead = 0o4;
/** Of a file: run. */
const mayEnter = 0o1;

function may({ uid, groups }: User, { mode, uid: owner, gid }: Stats, wanted: number): boolean {
  const bits = owner === uid ? mode >> 6 : groups.includes(gid) ? mode >> 3 : mode;
  return (bits & wanted) === wanted;
}

/** From the root down. */
function foldersAbove(path: string): string[] {
  const above = dirname(path);
  return above === path ? [] : [...foldersAbove(above), above];
}

/** For a sentence that begins with whom they keep out. */
export function described(barriers: readonly Barrier[]): string {
  return listed(barriers.map(({ path, mode, needs }) => `${needs} ${path} (mode ${octal(mode)})`));
}

/** What takes them away. */
export function opened(barriers: readonly Barrier[]): string {
  const rights = { enter: "a+x", read: "a+rX", run: "a+rx" };
  return barriers
    .slice(0, mostNamed)
    .map(({ path, needs }) => `chmod ${rights[needs]} ${path}`)
    .join(" && ");
}
