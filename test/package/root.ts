import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { contained, must, path } from "./programs.ts";

const suite = "bookworm";
/** Less than any server that somebody set up has: what these packages need must be said by them. `ss` of iproute2 is for looking. */
const packages = ["systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2"];
const weekMs = 7 * 86_400_000;

/** On the disk of the repository, as a root is large and /tmp may be memory. */
export const cacheFolder = fileURLToPath(new URL("../../node_modules/.cache/plantgate/", import.meta.url));

/** What belongs to a run lies there, under a name that begins with its process. */
export const runs = join(cacheFolder, "runs");

/** Debian's name of an architecture; undefined: this machine's. */
export type Architecture = "arm64" | undefined;

/** The root that is kept. */
export function rootFile(architecture?: Architecture, more: readonly string[] = []): string {
  const key = keyOf([...packages, ...more]);
  return join(cacheFolder, `debian-${suite}-${architecture === undefined ? "" : `${architecture}-`}${key}.tar`);
}

/**
 * Sees to it that there is a Debian 12 to be unpacked: one that debootstrap made no more than a week ago.
 * @param architecture one that programs run for here
 * @param more packages that it holds besides
 */
export async function keepRoot(
  tell: (what: string) => void,
  architecture?: Architecture,
  more: readonly string[] = [],
): Promise<void> {
  const kept = rootFile(architecture, more);
  if (existsSync(kept) && Date.now() - statSync(kept).mtimeMs < weekMs) return;
  tell(`debootstrap makes a Debian 12${architecture === undefined ? "" : ` for ${architecture}`}; it is kept for a week`);
  await makeRoot(kept, architecture, more);
}

/** Unpacks a fresh one into `folder`, which must not exist. */
export async function unpackRoot(folder: string, architecture?: Architecture): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await must(["tar", "-x", "--numeric-owner", "--xattrs", "-p", "-C", folder, "-f", rootFile(architecture)]);
  // it has no way to the world: nothing of this machine's may make it look as if it had
  for (const file of ["etc/resolv.conf", "etc/hostname"]) rmSync(join(folder, file), { force: true });
  writeFileSync(join(folder, "etc/hostname"), "plant\n");
  writeFileSync(join(folder, "etc/hosts"), "127.0.0.1 localhost plant\n");
  // the journal outlives a power cut
  mkdirSync(join(folder, "var/log/journal"), { recursive: true });
}

async function makeRoot(file: string, architecture: Architecture, more: readonly string[]): Promise<void> {
  mkdirSync(runs, { recursive: true });
  const making = join(runs, `${process.pid}-debian`);
  try {
    await must(
      [
        ...contained,
        "debootstrap",
        ...(architecture === undefined ? [] : [`--arch=${architecture}`]),
        "--variant=minbase",
        `--include=${[...packages, ...more].join(",")}`,
        suite,
        making,
        await mirror(),
      ],
      // what is flushed while it is made is flushed for nobody
      { timeoutMs: 1_800_000, env: { ...process.env, PATH: path, DPKG_FORCE: "security-mac,downgrade,unsafe-io" } as never },
    );
    rmSync(join(making, "var/cache/apt/archives"), { recursive: true, force: true });
    await must(["tar", "-c", "--numeric-owner", "--xattrs", "-C", making, "-f", `${making}.tar`, "."]);
    renameSync(`${making}.tar`, file);
  } finally {
    rmSync(making, { recursive: true, force: true });
    rmSync(`${making}.tar`, { force: true });
  }
}

/** Where this machine gets its own packages from. */
async function mirror(): Promise<string> {
  const targets = await must(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]);
  const sites = targets.split("\n").map((line) => line.split(" "));
  const site = sites.find(([, codename]) => codename === suite)?.[0] ?? sites.find(([, name]) => !name?.includes("-"))?.[0];
  if (!site) throw new Error("apt has no source here from which debootstrap could make a root: see /etc/apt/sources.list");
  return site;
}

function keyOf(names: readonly string[]): string {
  return createHash("sha256").update(names.join(" ")).digest("hex").slice(0, 12);
}
