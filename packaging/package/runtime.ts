import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BuildError, run } from "./command.ts";
import type { Platform } from "./platforms.ts";
import { type Locked, project } from "./workspace.ts";

/** A thing that travels inside a package and does not come from npm's list: for the bill of materials. */
export interface Part {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly purl: string;
  /** Of the file that travels. */
  readonly sha256: string;
  readonly description: string;
}

/** The pinned Node.js of a platform, judged by the hash in package-lock.json. */
export interface Runtime {
  /** Folder with the runtime (`bin/node`) and its LICENSE. */
  readonly folder: string;
  readonly part: Part;
}

export async function fetchRuntime(
  { nodePackage, nodeFile }: Platform,
  lock: Readonly<Record<string, Locked>>,
  cache: string,
): Promise<Runtime> {
  const locked = lock[`node_modules/${nodePackage}`];
  if (locked?.integrity === undefined) throw new BuildError(`package-lock.json does not pin ${nodePackage}`);
  const { version, integrity } = locked;
  const archive = join(cache, `${nodePackage}-${version}.tgz`);
  if (!(await hasIntegrity(archive, integrity))) {
    await mkdir(cache, { recursive: true });
    const purpose = `the Node.js runtime ${nodePackage}@${version}`;
    await run("npm", ["pack", `${nodePackage}@${version}`, "--prefer-offline", "--silent", "--pack-destination", cache], {
      cwd: project,
      purpose,
    });
    if (!(await hasIntegrity(archive, integrity))) {
      await rm(archive, { force: true });
      throw new BuildError(`${purpose}: what came is not what package-lock.json pins (${integrity}); it was deleted`);
    }
  }
  const folder = join(cache, `${nodePackage}-${version}`);
  const unpacked = await mkdtemp(join(cache, "unpack-"));
  const purpose = `unpacking ${archive}`;
  const license = (await run("tar", ["-tzf", archive], { purpose })).split("\n").filter((name) => name === "package/LICENSE");
  await run("tar", ["-xzf", archive, "-C", unpacked, "--strip-components=1", `package/${nodeFile}`, ...license], { purpose });
  if (license.length === 0) await cp(await licenseOf(version), join(unpacked, "LICENSE"));
  await rm(folder, { recursive: true, force: true });
  await rename(unpacked, folder);
  const part: Part = {
    name: "node",
    version,
    license: "MIT",
    purl: `pkg:npm/${nodePackage}@${version}`,
    sha256: await sha256Of(join(folder, nodeFile)),
    description: "Node.js runtime",
  };
  return { folder, part };
}

/** Its package for Windows comes without the text, which is the same for all. */
async function licenseOf(version: string): Promise<string> {
  const modules = join(project, "node_modules");
  for (const name of (await readdir(modules)).filter((entry) => /^node-(linux|win|darwin|bin)-/.test(entry))) {
    const about = JSON.parse(await readFile(join(modules, name, "package.json"), "utf8")) as { version?: string };
    if (about.version === version && existsSync(join(modules, name, "LICENSE"))) return join(modules, name, "LICENSE");
  }
  throw new BuildError(`the licence of Node.js ${version} is not in node_modules: run "npm ci"`);
}

/** libatomic.so.1, which the runtime needs and a small Debian lacks; with the text of its licence. */
export interface Libatomic {
  readonly file: string;
  readonly licenseFile: string;
  readonly part: Part;
}

/** From Debian, by the sources of this machine; apt judges its signature. Nothing of this machine's own apt is touched. */
export async function fetchLibatomic(architecture: string, cache: string): Promise<Libatomic> {
  const folder = join(cache, `libatomic-${architecture}`);
  let version = await readFile(join(folder, "version"), "utf8").catch(() => undefined);
  if (version === undefined) {
    version = await download(architecture, cache, folder);
  }
  const file = join(folder, "libatomic.so.1");
  const part: Part = {
    name: "libatomic1",
    version,
    license: "GPL-3.0-or-later WITH GCC-exception-3.1",
    purl: `pkg:deb/debian/libatomic1@${encodeURIComponent(version)}?arch=${architecture}`,
    sha256: await sha256Of(file),
    description: "GCC's library of atomic operations, which the runtime needs",
  };
  return { file, licenseFile: join(folder, "copyright"), part };
}

async function download(architecture: string, cache: string, folder: string): Promise<string> {
  await mkdir(cache, { recursive: true });
  const place = await mkdtemp(join(cache, "apt-"));
  for (const name of ["state/lists/partial", "cache/archives/partial", "tree"])
    await mkdir(join(place, name), { recursive: true });
  // apt drops its rights for downloads: what is root's alone is downloaded as root, with a warning
  const options = [
    ...["-o", `Dir::State=${place}/state`, "-o", `Dir::Cache=${place}/cache`, "-o", "Dir::State::status=/dev/null"],
    ...["-o", `APT::Architecture=${architecture}`, "-o", `APT::Architectures::=${architecture}`],
    ...["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-qq"],
  ];
  const purpose = `libatomic1 of Debian for ${architecture}`;
  try {
    // one of the machine's sources that does not answer, or lacks the architecture, is no matter as long as the download works
    const updated = await run("apt-get", [...options, "update"], { cwd: place, purpose }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (updated instanceof BuildError && updated.message.includes("is missing")) throw updated;
    try {
      await run("apt-get", [...options, "download", "libatomic1", "gcc-12-base"], { cwd: place, purpose });
    } catch (error) {
      throw updated ?? error;
    }
    const files = await readdir(place);
    for (const name of files.filter((entry) => entry.endsWith(".deb")))
      await run("dpkg-deb", ["-x", join(place, name), join(place, "tree")], { purpose });
    const deb = files.find((entry) => entry.startsWith("libatomic1_") && entry.endsWith(".deb")) ?? "";
    const version = (await run("dpkg-deb", ["-f", join(place, deb), "Version"], { purpose })).trim();
    const library = (await readdir(join(place, "tree/usr/lib"), { recursive: true })).find((entry) =>
      entry.endsWith("/libatomic.so.1"),
    );
    if (library === undefined) throw new BuildError(`${purpose}: there is no libatomic.so.1 in it`);
    await rm(folder, { recursive: true, force: true });
    const made = join(place, "made");
    await mkdir(made);
    await cp(join(place, "tree/usr/lib", library), join(made, "libatomic.so.1"), { dereference: true });
    await cp(join(place, "tree/usr/share/doc/gcc-12-base/copyright"), join(made, "copyright"), { dereference: true });
    await writeFile(join(made, "version"), version);
    await rename(made, folder);
    return version;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

async function hasIntegrity(file: string, integrity: string): Promise<boolean> {
  const bytes = await readFile(file).catch(() => undefined);
  return bytes !== undefined && `sha512-${createHash("sha512").update(bytes).digest("base64")}` === integrity;
}

export async function sha256Of(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}
