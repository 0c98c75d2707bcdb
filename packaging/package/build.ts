import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { packArchive } from "./archive.ts";
import { layOutDeb, packDeb } from "./deb.ts";
import { type Kind, type Platform, type PlatformName, platforms, type Role } from "./platforms.ts";
import { buildProgram, isLicense, settle } from "./program.ts";
import { fetchLibatomic, fetchRuntime, sha256Of } from "./runtime.ts";
import { makeSbom } from "./sbom.ts";
import { openReleaseKey, type ReleaseKey, signFile } from "./signing.ts";
import { assembleTree, collectLicenses } from "./tree.ts";
import { type Origin, originOf, project, readLock, type Workspace, workspaceIn } from "./workspace.ts";

export interface BuildRequest {
  readonly release: string;
  readonly platform: readonly PlatformName[];
  readonly kind: readonly Kind[];
  readonly role: readonly Role[];
  readonly out: string;
  readonly keyFile?: string | undefined;
  readonly alsoTrust?: readonly string[];
  /** With little effort: larger files of the same content. */
  readonly quick?: boolean;
  readonly tell: (what: string) => void;
}

/** Makes the packages that are asked for in OUT/packages. */
export async function build(request: BuildRequest): Promise<void> {
  const { release, platform: names, out, keyFile, alsoTrust, tell } = request;
  const place = workspaceIn(out);
  const key = openReleaseKey(keyFile, join(project, ".plantgate/release"), alsoTrust);
  if (key.ownFile !== undefined)
    tell(
      `NO RELEASE KEY GIVEN (PLANTGATE_RELEASE_KEY): signed with ${key.ownFile}, made on this machine.\n          Good for trying; a plant should only trust a key that is kept apart.`,
    );
  const origin = originOf(project);
  const wanted = names.map((name) => platforms[name]);
  tell(`Plantgate ${release} for ${names.join(", ")}, from ${origin.commit.slice(0, 12)}`);
  await mkdir(place.packages, { recursive: true });
  const lock = readLock();
  const app = join(place.work, "app");
  // of an earlier build, each with a runtime of its own
  await rm(join(place.work, "trees"), { recursive: true, force: true });
  const results = await Promise.allSettled([buildProgram(app, release, tell), fetchAll(wanted, lock, place, tell)]);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  const [, downloads] = results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as [undefined, Downloads];

  const modules = Object.keys(lock).filter((name) => name !== "" && existsSync(join(app, name)));
  const bundled = await bundledInConsole(place, lock);
  const places = new Map([...new Set([...modules, ...bundled])].sort().map((name) => [name, join(project, name)]));
  const licenses = join(place.work, "licenses");
  await collectLicenses(licenses, places);
  await settle(licenses, origin.epochSeconds);
  await settle(app, origin.epochSeconds);
  for (const platform of wanted) {
    const [runtime, libatomic] = downloads.get(platform.name) ?? [];
    if (runtime === undefined) continue;
    const parts = [runtime.part, ...(libatomic === undefined ? [] : [libatomic.part])];
    const licenseOf = (name: string): string | undefined => licenseIn(join(project, name));
    const subject = { release, platform: platform.name, ...origin, parts, lock, modules, bundled, licenseOf };
    const tree = join(place.work, "trees", nameOf(release, platform));
    await assembleTree(tree, {
      release,
      platform,
      origin,
      app,
      licenses,
      runtime,
      libatomic,
      publicKeys: key.publicKeys,
      sbom: makeSbom(subject),
    });
    await settle(tree, origin.epochSeconds);
  }
  const work = await layOut(request, wanted, place, origin, key);
  tell("program trees");
  await inTurn(2, work);
  await writeSums(place.packages, key);
  await rm(join(place.work, "debs"), { recursive: true, force: true });
  tell(`done: ${relative(process.cwd(), place.packages) || "."}`);
}

type Downloads = ReadonlyMap<
  PlatformName,
  readonly [Awaited<ReturnType<typeof fetchRuntime>>, Awaited<ReturnType<typeof fetchLibatomic>> | undefined]
>;

async function fetchAll(
  wanted: readonly Platform[],
  lock: ReturnType<typeof readLock>,
  { cache }: Workspace,
  tell: (what: string) => void,
): Promise<Downloads> {
  await mkdir(cache, { recursive: true });
  const found = new Map();
  for (const platform of wanted) {
    const runtime = await fetchRuntime(platform, lock, cache);
    const libatomic = platform.architecture === undefined ? undefined : await fetchLibatomic(platform.architecture, cache);
    tell(`Node.js ${runtime.part.version} for ${platform.name}`);
    found.set(platform.name, [runtime, libatomic]);
  }
  return found;
}

function nameOf(release: string, { name }: Platform): string {
  return `plantgate-${release}-${name}`;
}

/** All that shares files by hard links is laid out before anything is packed: a link that is added changes a file that tar reads. */
async function layOut(
  { release, kind, role: wantedRoles, quick = false, tell }: BuildRequest,
  wanted: readonly Platform[],
  place: Workspace,
  { epochSeconds }: Origin,
  key: ReleaseKey,
): Promise<(() => Promise<void>)[]> {
  const trees = join(place.work, "trees");
  const work: (() => Promise<void>)[] = [];
  const pack = (name: string, how: (file: string) => Promise<void>): void => {
    work.push(async () => {
      const file = join(place.packages, name);
      await how(file);
      await signFile(file, key);
      tell(`${name}  ${((await stat(file)).size / 1024 ** 2).toFixed(1)} MiB`);
    });
  };
  for (const platform of wanted) {
    const name = nameOf(release, platform);
    if (kind.includes("tar")) pack(`${name}.tar.gz`, (file) => packArchive(trees, name, file, { epochSeconds, quick }));
    if (!kind.includes("deb") || platform.architecture === undefined) continue;
    for (const role of wantedRoles) {
      const root = join(place.work, "debs", `${role}-${platform.name}`);
      await layOutDeb({ release, role, platform, tree: join(trees, name), epochSeconds }, root);
      pack(`plantgate-${role}_${release}_${platform.architecture}.deb`, (file) => packDeb(root, file, { epochSeconds, quick }));
    }
  }
  return work;
}

/** Runs what is to be done, so many at once; the first failure ends it when what is under way has ended. */
async function inTurn(width: number, work: readonly (() => Promise<void>)[]): Promise<void> {
  const left = [...work];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      try {
        await next();
      } catch (error) {
        left.length = 0;
        throw error;
      }
    }
  };
  for (const result of await Promise.allSettled(Array.from({ length: width }, worker)))
    if (result.status === "rejected") throw result.reason;
}

/** SHA256SUMS of all that lies there, also of what an earlier build left: what is offered together is judged together. */
async function writeSums(folder: string, key: ReleaseKey): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /\.(deb|tar\.gz)$/.test(name)).sort();
  const lines: string[] = [];
  for (const name of names) lines.push(`${await sha256Of(join(folder, name))}  ${name}`);
  await writeFile(join(folder, "SHA256SUMS"), `${lines.join("\n")}\n`);
  await signFile(join(folder, "SHA256SUMS"), key);
}

/** Keys of package-lock.json of what the console's build took in. */
async function bundledInConsole({ work }: Workspace, lock: ReturnType<typeof readLock>): Promise<string[]> {
  const folders = JSON.parse(await readFile(join(work, "console-packages.json"), "utf8")) as string[];
  return folders.filter((folder) => lock[folder] !== undefined).sort();
}

/** What a package says of its licence, in package.json or, where it is silent there, in a text beside it. */
function licenseIn(folder: string): string | undefined {
  const { license, licenses } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    license?: unknown;
    licenses?: { type?: unknown }[];
  };
  const said = license ?? licenses?.[0]?.type;
  if (typeof said === "string") return said;
  const texts = readdirSync(folder).filter((name) => isLicense(name) || /^readme/i.test(name));
  const isMit = texts.some((name) =>
    /Permission is hereby granted, free of charge|MIT[- ]licen[sc]e|licensed under the MIT/i.test(
      readFileSync(join(folder, name), "utf8"),
    ),
  );
  return isMit ? "MIT" : undefined;
}
