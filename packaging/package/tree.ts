import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatVersion } from "../../gateway/queue/schema.ts";
import { run } from "./command.ts";
import type { Platform } from "./platforms.ts";
import { isLicense } from "./program.ts";
import type { Libatomic, Runtime } from "./runtime.ts";
import { type Origin, project } from "./workspace.ts";

export interface TreeParts {
  readonly release: string;
  readonly platform: Platform;
  readonly origin: Origin;
  /** `app`, and the texts of all its licences by package. */
  readonly app: string;
  readonly licenses: string;
  readonly runtime: Runtime;
  readonly libatomic: Libatomic | undefined;
  readonly publicKeys: string;
  readonly sbom: string;
}

/** Puts a program tree together: complete in itself, the same for archive and Debian package, gateway and central. */
export async function assembleTree(folder: string, parts: TreeParts): Promise<void> {
  const { release, platform, origin, app, runtime, libatomic } = parts;
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, "bin"), { recursive: true });
  // hard links: three platforms share what is the same on all of them
  await run("cp", ["-al", app, join(folder, "app")], { purpose: "the program tree" });
  await run("cp", ["-al", parts.licenses, join(folder, "licenses")], { purpose: "the program tree" });
  await cp(join(runtime.folder, platform.nodeFile), join(folder, platform.nodeFile));
  await mkdir(join(folder, "licenses/node"));
  await cp(join(runtime.folder, "LICENSE"), join(folder, "licenses/node/LICENSE"));
  if (libatomic !== undefined) {
    await mkdir(join(folder, "lib"));
    await cp(libatomic.file, join(folder, "lib/libatomic.so.1"));
    await mkdir(join(folder, "licenses/libatomic1"));
    await cp(libatomic.licenseFile, join(folder, "licenses/libatomic1/copyright"));
  }
  const manifest = {
    product: "plantgate",
    version: release,
    platform: platform.name,
    node: runtime.part.version,
    queueFormat: formatVersion,
    builtFrom: origin.commit,
  };
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await writeFile(join(folder, "release-keys.pem"), parts.publicKeys);
  await writeFile(join(folder, "sbom.cdx.json"), parts.sbom);
  await cp(join(project, "LICENSE"), join(folder, "LICENSE"));
  await cp(join(project, "packaging/docs"), join(folder, "docs"), { recursive: true });
  const source = join(project, "packaging/install");
  if (platform.name === "windows-x64") {
    for (const name of await readdir(join(source, "windows"))) await cp(join(source, "windows", name), join(folder, name));
    await cp(join(source, "windows/plantgate.cmd"), join(folder, "bin/plantgate.cmd"));
    await rm(join(folder, "plantgate.cmd"));
    return;
  }
  await cp(join(source, "plantgate"), join(folder, "bin/plantgate"));
  await mkdir(join(folder, "install"));
  for (const name of await readdir(source))
    if (!["debian", "windows", "plantgate", "install.sh"].includes(name))
      await cp(join(source, name), join(folder, "install", name), { recursive: true });
  await cp(join(source, "install.sh"), join(folder, "install.sh"));
}

/** Collects the texts of the licences of npm packages: `NAME/LICENSE`, a nested one as `OUTER__NAME`. */
export async function collectLicenses(folder: string, packages: ReadonlyMap<string, string>): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  for (const [key, place] of packages) {
    const name = key
      .replace(/^node_modules\//, "")
      .replaceAll("/node_modules/", "__")
      .replaceAll("/", "+");
    const files = existsSync(place) ? (await readdir(place, { withFileTypes: true })).filter((entry) => entry.isFile()) : [];
    const texts = files.map((entry) => entry.name).filter(isLicense);
    await mkdir(join(folder, name), { recursive: true });
    for (const text of texts) await cp(join(place, text), join(folder, name, text));
    if (texts.length === 0) await writeFile(join(folder, name, "LICENSE"), await saidLicense(place));
  }
}

/** Some packages come without the text: what they say of themselves stands for it. */
async function saidLicense(place: string): Promise<string> {
  const { name, version, license, author, homepage } = JSON.parse(await readFile(join(place, "package.json"), "utf8")) as Record<
    string,
    unknown
  >;
  return `${JSON.stringify({ name, version, license: license ?? "not said by the package", author, homepage }, null, 2)}\n`;
}
