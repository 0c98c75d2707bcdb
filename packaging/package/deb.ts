import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import type { Packing } from "./archive.ts";
import { run } from "./command.ts";
import type { Platform, Role } from "./platforms.ts";
import { settle } from "./program.ts";
import { project } from "./workspace.ts";

export interface DebParts {
  readonly release: string;
  readonly role: Role;
  readonly platform: Platform;
  readonly tree: string;
  readonly epochSeconds: number;
}

const about: Readonly<Record<Role, string>> = {
  gateway:
    "edge gateway of a plant\n Keeps what machines and systems of a plant say on local disk until it is safe elsewhere,\n and brings orders to them. Its own Node.js is inside; nothing is downloaded.",
  central:
    "control plane of Plantgate's gateways\n Gives all plants their configuration, routes messages between them and shows what is happening.\n Its own Node.js is inside; nothing is downloaded.",
};

/** Debian's idea of a version: what comes before a release sorts before it. */
export function debianVersion(release: string): string {
  return release.replace("-", "~");
}

/** Lays out what a Debian package of a program tree holds. */
export async function layOutDeb({ release, role, platform, tree, epochSeconds }: DebParts, root: string): Promise<void> {
  const name = `plantgate-${role}`;
  await rm(root, { recursive: true, force: true });
  const opt = join(root, "opt/plantgate", role);
  await mkdir(opt, { recursive: true });
  // dpkg's own copy, from which postinst makes versions/VERSION by hard links
  const own = join(opt, "package");
  await run("cp", ["-al", tree, own], { purpose: name });
  await rm(join(own, "install.sh"));
  // a gateway shows no console
  if (role === "gateway") await rm(join(own, "app/console"), { recursive: true });
  const install = join(project, "packaging/install");
  await cp(join(install, "choose"), join(opt, "choose"));
  const units = join(root, "usr/lib/systemd/system");
  await mkdir(units, { recursive: true });
  for (const unit of await readdir(join(install, "units")))
    if (unit.startsWith(name)) await cp(join(install, "units", unit), join(units, unit));
  for (const kind of ["sysusers.d", "tmpfiles.d"]) {
    await mkdir(join(root, "usr/lib", kind), { recursive: true });
    await cp(join(install, kind, `${name}.conf`), join(root, "usr/lib", kind, `${name}.conf`));
  }
  await mkdir(join(root, "etc/plantgate"), { recursive: true });
  await cp(join(install, `${role}.yaml`), join(root, `etc/plantgate/${role}.yaml`));
  const doc = join(root, "usr/share/doc", name);
  await mkdir(doc, { recursive: true });
  await cp(join(install, "debian/copyright"), join(doc, "copyright"));
  await writeFile(join(doc, "changelog.gz"), gzipSync(await readFile(join(project, "packaging/CHANGELOG.md")), { level: 9 }));
  const control = join(root, "DEBIAN");
  await writeControl(control, role, release);
  await writeFile(join(control, "md5sums"), await md5sums(root));
  const { control: text, sizeKiB } = await controlText(root, { release, role, platform });
  await writeFile(join(control, "control"), text.replace("SIZE", String(sizeKiB)));
  await settle(root, epochSeconds);
}

export async function packDeb(root: string, file: string, { epochSeconds, quick }: Packing): Promise<void> {
  const part = `${file}.part`;
  await run("dpkg-deb", ["--root-owner-group", "-Zzstd", `-z${quick ? 3 : 12}`, "--build", root, part], {
    env: { SOURCE_DATE_EPOCH: String(epochSeconds) },
    purpose: basename(file),
  });
  await rename(part, file);
}

/** Maintainer scripts and debconf's question, the role and version filled in. */
async function writeControl(control: string, role: Role, release: string): Promise<void> {
  await mkdir(control, { recursive: true });
  const source = join(project, "packaging/install/debian");
  for (const name of ["preinst", "postinst", "prerm", "postrm"]) {
    const text = (await readFile(join(source, name), "utf8")).replaceAll("@ROLE@", role).replaceAll("@VERSION@", release);
    await writeFile(join(control, name), text, { mode: 0o755 });
  }
  await cp(join(source, `${role}.templates`), join(control, "templates"));
  await writeFile(join(control, "conffiles"), `/etc/plantgate/${role}.yaml\n`);
}

async function controlText(
  root: string,
  { release, role, platform }: Pick<DebParts, "release" | "role" | "platform">,
): Promise<{ control: string; sizeKiB: number }> {
  let sizeKiB = 0;
  for (const file of await filesOf(root)) sizeKiB += Math.ceil((await stat(file)).size / 1024);
  const control = `Package: plantgate-${role}
Version: ${debianVersion(release)}
Architecture: ${platform.architecture}
Maintainer: Plantgate <plantgate@localhost>
Installed-Size: SIZE
Depends: libc6 (>= 2.28), libstdc++6, libgcc-s1, systemd (>= 247), debconf (>= 0.5) | debconf-2.0
Section: net
Priority: optional
Description: ${about[role]}
`;
  return { control, sizeKiB };
}

async function md5sums(root: string): Promise<string> {
  const lines: string[] = [];
  for (const file of await filesOf(root)) {
    const path = relative(root, file);
    if (!path.startsWith("DEBIAN/") && !path.startsWith("etc/"))
      lines.push(
        `${createHash("md5")
          .update(await readFile(file))
          .digest("hex")}  ${path}`,
      );
  }
  return `${lines.join("\n")}\n`;
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
