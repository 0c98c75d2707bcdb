import { readFileSync } from "node:fs";

export interface User {
  readonly uid: number;
  /** Its own, and those that it was added to. */
  readonly groups: readonly number[];
  /** As a person reads it. */
  readonly name: string;
  /** As chown takes it. */
  readonly spec: string;
}

/** Of this machine; undefined: there is none of that name. */
export function userNamed(name: string): User | undefined {
  return userBy(([each]) => each === name);
}

export function userOf(uid: number): User {
  return userBy(([, , each]) => each === String(uid)) ?? { uid, groups: [uid], name: `user ${uid}`, spec: String(uid) };
}

function userBy(isMeant: (line: readonly string[]) => boolean): User | undefined {
  const line = linesOf("/etc/passwd").find(isMeant);
  if (!line) return undefined;
  const [name = "", , uid, gid] = line;
  const added = linesOf("/etc/group").filter(([, , , members = ""]) => members.split(",").includes(name));
  return { uid: Number(uid), groups: [gid, ...added.map(([, , each]) => each)].map(Number), name, spec: name };
}

function linesOf(file: string): string[][] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}
