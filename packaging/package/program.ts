import { chmod, cp, lstat, mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { run } from "./command.ts";
import { project } from "./workspace.ts";

/** Makes `app`: what `npm run build` makes, without source maps, as the release that is named; and its production packages. */
export async function buildProgram(folder: string, release: string, tell: (done: string) => void): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  // the project's own tools and runtime, also where this was not begun by npm
  const env = {
    // where tests run it says otherwise, and the console's files would name this machine's folders
    NODE_ENV: "production",
    PATH: `${join(project, "node_modules/.bin")}:${process.env.PATH}`,
    PLANTGATE_BUILD_RELEASE: release,
    PLANTGATE_BUILD_CONSOLE_PACKAGES: join(folder, "../console-packages.json"),
  };
  const modules = installModules(join(folder, "..", "modules"), env).then(() => tell("production packages of npm"));
  const console = run(
    "vite",
    ["build", "--config", "packaging/vite.config.ts", "--outDir", join(folder, "console"), "--logLevel", "warn"],
    { cwd: project, env, purpose: "the console" },
  ).then(() => tell("console"));
  const node = run("tsup", ["--config", "packaging/tsup.config.ts", "--out-dir", folder, "--silent"], {
    cwd: project,
    env,
    purpose: "gateway and central",
  }).then(() => tell("gateway and central"));
  const results = await Promise.allSettled([modules, console, node]);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  await run("cp", ["-a", join(folder, "..", "modules/node_modules"), folder], { purpose: "the production packages" });
  await pruneModules(join(folder, "node_modules"));
  const about = { name: "plantgate", version: release, private: true, type: "module" };
  await writeFile(join(folder, "package.json"), `${JSON.stringify(about, null, 2)}\n`);
}

async function installModules(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json", ".npmrc"]) await cp(join(project, name), join(folder, name));
  const args = ["ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
  await run("npm", [...args, "--loglevel=error"], { cwd: folder, env, purpose: "the production packages of npm" });
}

/** Folders of a package, at its top, that nothing loads at run time. */
const idleFolders = new Set(
  "test tests __tests__ doc docs example examples benchmark benchmarks bench coverage .github .husky .vscode .nyc_output".split(
    " ",
  ),
);
/** Packages that hold types and nothing else. */
const typesOnly = new Set(["@types", "undici-types"]);

/** Leaves what runs, and the texts of the licences. */
async function pruneModules(folder: string): Promise<void> {
  for (const name of [".bin", ".package-lock.json", ...typesOnly]) await rm(join(folder, name), { recursive: true, force: true });
  for (const entry of await readdir(folder)) {
    const place = join(folder, entry);
    if (!entry.startsWith("@")) await prunePackage(place);
    else for (const name of await readdir(place)) await prunePackage(join(place, name));
  }
}

async function prunePackage(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory() && idleFolders.has(entry.name)) await rm(join(folder, entry.name), { recursive: true });
    else if (entry.isDirectory() && entry.name === "node_modules") await pruneModules(join(folder, entry.name));
    else if (entry.isDirectory()) await pruneFiles(join(folder, entry.name));
    else if (isIdle(entry.name)) await rm(join(folder, entry.name));
  }
}

/** Also takes folders that are left empty. */
async function pruneFiles(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const place = join(folder, entry.name);
    if (entry.isDirectory()) await pruneFiles(place);
    else if (isIdle(entry.name)) await rm(place);
  }
  if ((await readdir(folder)).length === 0) await rm(folder, { recursive: true });
}

const idleExtensions = new Set([".map", ".ts", ".mts", ".cts", ".tsbuildinfo", ".flow", ".md", ".markdown"]);

function isIdle(name: string): boolean {
  if (isLicense(name)) return false;
  return (
    idleExtensions.has(extname(name)) ||
    /^(\.(npmignore|eslint.*|prettier.*|editorconfig|travis\.yml|taprc|nycrc|airtap\.yml|gitattributes)|tsconfig.*\.json|yarn\.lock|pnpm-lock\.yaml)$/.test(
      name,
    )
  );
}

export function isLicense(name: string): boolean {
  return /^(licen[cs]e|copying|notice|copyright|authors|patents)/i.test(basename(name));
}

/** Gives all files the same time and rights whatever the umask and the moment of the build were: the same commit, the same bytes. */
export async function settle(folder: string, epochSeconds: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const place = join(folder, entry.name);
    if (entry.isDirectory()) await settle(place, epochSeconds);
    else if (entry.isFile()) {
      const { mode } = await lstat(place);
      const wanted = mode & 0o100 ? 0o755 : 0o644;
      if ((mode & 0o7777) !== wanted) await chmod(place, wanted);
      await utimes(place, epochSeconds, epochSeconds);
    }
  }
  await chmod(folder, 0o755);
  await utimes(folder, epochSeconds, epochSeconds);
}
