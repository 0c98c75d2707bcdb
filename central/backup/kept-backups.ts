import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import { renameOver } from "../storage/files.ts";
import { type Gist, gistOf, readGist } from "./archive.ts";
import type { Manifest } from "./manifest.ts";

/** Files of backups in their folder: how one is called, which of them stay, and what is left of one that was killed. */

const namePattern = /^plantgate-central-\d{8}T\d{6}Z(?:-\d+)?\.tar\.zst$/;

/** `names`: what it may be called, the first that is free. */
export function targetOf(
  { out, keep }: { readonly out: string; readonly keep?: number | undefined },
  takenAt: string,
): { readonly folder: string; readonly names: Iterable<string>; readonly isNamed: boolean } {
  if (out.endsWith("/") || out.endsWith(sep)) mkdirSync(out, { recursive: true, mode: 0o700 });
  const isFolder = existsSync(out) && statSync(out).isDirectory();
  if (keep !== undefined && !isFolder)
    throw new PlantgateError("USAGE", "--keep needs a folder: --out has to name one that is there");
  if (!isFolder) {
    const folder = dirname(resolve(out));
    requireFolder(folder);
    return { folder, names: [out], isNamed: false };
  }
  const stamp = takenAt.replaceAll(/[-:]|\.\d+/g, "");
  return { folder: out, names: namesOf(join(out, `plantgate-central-${stamp}`)), isNamed: true };
}

function* namesOf(start: string): Generator<string> {
  yield `${start}.tar.zst`;
  for (let number = 2; ; number++) yield `${start}-${number}.tar.zst`;
}

export function requireFolder(folder: string): void {
  if (!existsSync(folder)) throw new PlantgateError("CONFIG_INVALID", `the folder ${folder} is not there`);
}

/** Two may be taken at once: neither is written over the other. */
export function giveName(staged: string, names: Iterable<string>): string {
  let last = "";
  for (const file of names) {
    if (isGiven(staged, file)) return file;
    last = file;
  }
  throw isThere(last);
}

/** Whether it is called so now; not where another file is. */
function isGiven(staged: string, file: string): boolean {
  try {
    linkSync(staged, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
  }
  // a disk without hard links, such as a stick
  if (existsSync(file)) return false;
  renameOver(staged, file);
  return true;
}

export function isThere(file: string): PlantgateError {
  return new PlantgateError("CONFIG_INVALID", `${file} is there already: no backup is written over another file`);
}

/**
 * The one just made stays, and of the others of this ledger those that hold most: positions are given out once, whatever the clock said. One that holds more
 * than it, or the same and is younger, was taken beside it and stays: that one may be deleting older ones, too. What another central made, or this
 * one before it was restored, and what cannot be read, is not judged.
 */
export async function dropOld(folder: string, keep: number, own: string, manifest: Manifest): Promise<string[]> {
  const made = { name: own, of: gistOf(manifest) };
  if (made.of.incarnation === null) return [];
  const others: Kept[] = [];
  for (const name of readdirSync(folder)) {
    const of = name !== own && namePattern.test(name) ? await readGist(join(folder, name)) : undefined;
    if (of?.incarnation === made.of.incarnation) others.push({ name, of });
  }
  others.sort(byAge);
  const old = others
    .slice(keep - 1)
    .filter((each) => byAge(made, each) < 0)
    .map(({ name }) => name);
  // another backup of the same moment may have deleted it
  for (const name of old) rmSync(join(folder, name), { force: true });
  return old.sort().map((name) => join(folder, name));
}

interface Kept {
  readonly name: string;
  readonly of: Gist;
}

/** The youngest first; no two are of one age, so that of two backups only one ever deletes the other. */
function byAge(a: Kept, b: Kept): number {
  return (
    b.of.positions - a.of.positions ||
    b.of.auditEntries - a.of.auditEntries ||
    Date.parse(b.of.takenAt) - Date.parse(a.of.takenAt) ||
    // of one moment: "-10" is younger than "-2"
    b.name.length - a.name.length ||
    (a.name > b.name ? -1 : 1)
  );
}

/** As large as the ledger, for as long as a backup is taken. */
export function makeScratch(folder: string): string {
  return mkdtempSync(join(folder, `.plantgate-backup-${hostname()}-${process.pid}-`));
}

/** What a backup that was killed left in its folder: as large as the ledger. */
export function dropLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, host, pid] = /^\.plantgate-backup-(.+)-(\d+)-\w{6}$/.exec(name) ?? [];
    if (host === hostname() && !isAlive(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
