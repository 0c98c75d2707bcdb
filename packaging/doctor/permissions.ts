import { type Dirent, lstatSync, readdirSync, type Stats } from "node:fs";
import { join, relative } from "node:path";
import { type Finding, fault, ok, stopping, unchecked } from "../../protocol/index.ts";
import type { Role } from "../cli/installed.ts";
import { isThisMachine, type Machine } from "./machine.ts";
import { listed, mostNamed, octal } from "./named.ts";
import { programPermissions } from "./program.ts";
import { barrierTo, described, opened } from "./reach.ts";
import { type User, userNamed, userOf } from "./users.ts";

const mostFiles = 5000;
const deepest = 4;

/** Files that only the service's user may read, by their path in the data folder. */
const secretFiles: Readonly<Record<Role, RegExp>> = {
  gateway:
    /^(gateway\.json|identity\/gateway\.key(\.next)?|secrets\/[^/]+|secrets\.sealed|keystore\/(wrapping\.key|keys.*\.json)|local\.json|move-request\.json)$/,
  central: /^(signing-key(\.next)?\.json|secrets-key\.json|admin\.token)$/,
};

/** Folders that hold keys alone: nobody else has any right there. In the others nobody else writes. */
const keyFolders = /^(identity|keystore)$/;

/** Of root, at the top of a disk that is the data folder's own: what the file system's tools keep there, no move and no restore touches either. */
const ofFileSystem = /^(lost\+found|\.snapshots)$/;

/** Owners and modes: of the data folder, what lies in it, the machine's secrets, and the program. What is wrong in one way is one finding. */
export function checkPermissions(machine: Machine): Finding[] {
  if (process.platform === "win32")
    return [unchecked("Windows keeps rights in another way: only the service's account may read the folder")];
  const { dataDir, role } = machine;
  let folder: Stats;
  try {
    folder = lstatSync(dataDir);
    if (folder.isSymbolicLink()) folder = lstatSync(join(dataDir, "."));
  } catch {
    return [unchecked("the data folder cannot be looked at")];
  }
  const files = filesIn(dataDir);
  const service = machine.here && isThisMachine(machine) ? userNamed(`plantgate-${role}`) : undefined;
  const owner = service ?? userOf(mostOften(files ?? []) ?? folder.uid);
  const findings: Finding[] = [];
  const barrier = barrierTo(owner, dataDir, "pass");
  if (barrier)
    findings.push(stopping(`${owner.name} does not get to ${dataDir}: it may not ${described([barrier])}`, opened([barrier])));
  if (folder.uid !== owner.uid)
    findings.push(
      stopping(
        service
          ? `${dataDir} belongs to ${userOf(folder.uid).name}, and the service runs as ${owner.name}`
          : `${dataDir} belongs to ${userOf(folder.uid).name}, and what lies in it to ${owner.name}`,
        `chown -R ${owner.spec}: ${dataDir}`,
      ),
    );
  if ((folder.mode & 0o077) !== 0)
    findings.push(
      fault(`others may enter ${dataDir} (mode ${octal(folder.mode)}), where messages and keys lie`, `chmod 0700 ${dataDir}`),
    );
  if ((folder.mode & 0o700) !== 0o700)
    findings.push(stopping(`its owner may not write to ${dataDir} (mode ${octal(folder.mode)})`, `chmod 0700 ${dataDir}`));
  if (!files) return [...findings, unchecked(`only root and ${owner.name} can look into ${dataDir}`)];
  // a folder that is another's as a whole has its finding
  const foreign = folder.uid === owner.uid ? files.filter(({ uid }) => uid !== owner.uid) : [];
  findings.push(
    ...judgeFiles(files, { dataDir, role, owner, foreign }),
    ...machineSecrets(machine),
    ...programPermissions(machine),
  );
  return findings.length > 0 ? findings : [ok(`${files.length} files of ${owner.name}, secrets readable by no one else`)];
}

interface Found {
  readonly path: string;
  readonly uid: number;
  readonly mode: number;
  readonly isFile: boolean;
  readonly isFolder: boolean;
}

function judgeFiles(
  files: readonly Found[],
  of: {
    readonly dataDir: string;
    readonly role: Role;
    readonly owner: User;
    readonly foreign: readonly Found[];
  },
): Finding[] {
  const { dataDir, role, owner, foreign } = of;
  const findings: Finding[] = [];
  const as = (found: readonly Found[]): typeof fault => (found.some(({ path }) => isNeeded(path)) ? stopping : fault);
  if (foreign.length > 0)
    findings.push(
      as(foreign)(
        `not ${owner.name}'s: ${listed(foreign.map(({ path, uid }) => `${path} (${userOf(uid).name})`))}`,
        `chown -R ${owner.spec}: ${dataDir}; a command that was run as another user left them behind`,
      ),
    );
  const secret = files.filter(
    ({ path, isFile }) => isFile && secretFiles[role].test(path) && !foreign.some((each) => each.path === path),
  );
  const open = secret.filter(({ mode }) => (mode & 0o077) !== 0);
  if (open.length > 0)
    findings.push(
      fault(
        `readable by others: ${withModes(open)}`,
        `${chmod("0600", dataDir, open)}; if somebody may have read them, change what they hold`,
      ),
    );
  const own = files.filter(({ path }) => !foreign.some((each) => each.path === path));
  const writable = own.filter(({ mode, isFile }) => isFile && (mode & 0o002) !== 0).filter((each) => !open.includes(each));
  if (writable.length > 0)
    findings.push(fault(`writable by everybody: ${withModes(writable)}`, chmod("0600", dataDir, writable)));
  const shut = own.filter(({ mode, isFile }) => isFile && (mode & 0o400) === 0);
  if (shut.length > 0)
    findings.push(as(shut)(`not readable by ${owner.name}: ${listed(shut.map(({ path }) => path))}`, "chmod 0600 these files"));
  const fixed = own.filter(({ path, mode, isFile }) => isFile && isWritten(path) && (mode & 0o600) === 0o400);
  if (fixed.length > 0)
    findings.push(
      stopping(`${owner.name} may not write to: ${listed(fixed.map(({ path }) => path))}`, "chmod 0600 these files, and restart"),
    );
  findings.push(...judgeFolders(own, { dataDir, owner }));
  return findings;
}

function judgeFolders(files: readonly Found[], of: { readonly dataDir: string; readonly owner: { name: string } }): Finding[] {
  const { dataDir, owner } = of;
  const folders = files.filter(({ isFolder }) => isFolder);
  const findings: Finding[] = [];
  const closed = folders.filter(({ mode }) => (mode & 0o700) !== 0o700);
  if (closed.length > 0)
    findings.push(
      (closed.some(({ path }) => isNeeded(path)) ? stopping : fault)(
        `folders that ${owner.name} may not enter or change: ${withModes(closed)}`,
        chmod("0700", dataDir, closed),
      ),
    );
  const open = folders.filter(({ path, mode }) => (mode & (keyFolders.test(path) ? 0o077 : 0o022)) !== 0);
  if (open.length > 0) findings.push(fault(`folders that are open to others: ${withModes(open)}`, chmod("0700", dataDir, open)));
  return findings;
}

function withModes(found: readonly Found[]): string {
  return listed(found.map(({ path, mode }) => `${path} (mode ${octal(mode)})`));
}

/** To be copied. */
function chmod(bits: string, dataDir: string, found: readonly Found[]): string {
  const paths = found.map(({ path }) => join(dataDir, path));
  return `chmod ${bits} ${paths.slice(0, mostNamed).join(" ")}`;
}

/** Whose most of them are, where more than half are one user's. */
function mostOften(files: readonly Found[]): number | undefined {
  const counts = new Map<number, number>();
  for (const { uid } of files) counts.set(uid, (counts.get(uid) ?? 0) + 1);
  const [most] = [...counts].toSorted(([, one], [, other]) => other - one);
  return most && most[1] * 2 > files.length ? most[0] : undefined;
}

/** Databases: what is written in place, not replaced whole. */
function isWritten(path: string): boolean {
  return /^[^/]+\.(sqlite|db)(-wal|-shm)?$/.test(path);
}

/** What every start opens; a secret is missed by its connector alone, and a file that somebody left is missed by nobody. */
function isNeeded(path: string): boolean {
  return /^(identity(\/|$)|keystore(\/|$)|(gateway|signing-key|secrets-key)\.json$|admin\.token$|[^/]+\.(sqlite|db)(-wal|-shm)?$)/.test(
    path,
  );
}

/** `/etc/plantgate/secrets`: root's alone; systemd hands them to the service. What it would not take was put aside at a start. */
function machineSecrets({ here, root, role }: Machine): Finding[] {
  if (!here || role !== "gateway") return [];
  return [...secretsInPlace(root), ...secretsAside(root)];
}

function secretsAside(root: string): Finding[] {
  const aside = join(root, "etc/plantgate/secrets-not-usable");
  try {
    const names = readdirSync(aside);
    if (names.length === 0) return [];
    const why = "systemd hands over no name with a colon or beyond ASCII, nor more than 1 MB in all";
    return [
      fault(
        `secrets that the service does not get: ${listed(names.map((name) => join(aside, name)))}: ${why}`,
        `Put each into ${join(root, "etc/plantgate/secrets")} under another name or shorter, or delete it; then restart the service`,
      ),
    ];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? [] : [unchecked(`only root can look into ${aside}`)];
  }
}

function secretsInPlace(root: string): Finding[] {
  const folder = join(root, "etc/plantgate/secrets");
  try {
    const names = readdirSync(folder);
    const wrong = [".", ...names].filter((name) => {
      const { uid, mode } = lstatSync(join(folder, name));
      return (mode & 0o077) !== 0 || (root === "/" && uid !== 0);
    });
    if (wrong.length === 0) return [];
    const paths = wrong.map((name) => join(folder, name));
    return [fault(`not root's alone: ${listed(paths)}`, `chown -R root: ${folder} && chmod -R go= ${folder}`)];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // made anew at the next start
    return code === "ENOENT" ? [] : [unchecked(`only root can look into ${folder}`)];
  }
}

/** Undefined: we may not look. */
function filesIn(dataDir: string): Found[] | undefined {
  const found: Found[] = [];
  const walk = (folder: string, depth: number): void => {
    let entries: Dirent[];
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch (error) {
      if (folder === dataDir) throw error;
      return;
    }
    for (const entry of entries) {
      if (found.length >= mostFiles) return;
      const path = join(folder, entry.name);
      try {
        const { uid, mode } = lstatSync(path);
        if (folder === dataDir && uid === 0 && entry.isDirectory() && ofFileSystem.test(entry.name)) continue;
        found.push({ path: relative(dataDir, path), uid, mode, isFile: entry.isFile(), isFolder: entry.isDirectory() });
      } catch {
        // gone meanwhile
        continue;
      }
      if (entry.isDirectory() && depth < deepest) walk(path, depth + 1);
    }
  };
  try {
    walk(dataDir, 0);
    return found;
  } catch {
    return undefined;
  }
}
