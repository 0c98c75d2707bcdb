import { createHash } from "node:crypto";
import type { PlatformName } from "./platforms.ts";
import type { Part } from "./runtime.ts";
import type { Locked } from "./workspace.ts";

/** What a bill of materials is about. */
export interface SbomSubject {
  readonly release: string;
  readonly platform: PlatformName;
  readonly commit: string;
  readonly epochSeconds: number;
  /** What travels beside npm's packages: the runtime, libatomic. */
  readonly parts: readonly Part[];
  readonly lock: Readonly<Record<string, Locked>>;
  /** Keys of `lock` of the packages that travel in node_modules, and of those that were built into the console's files. */
  readonly modules: readonly string[];
  readonly bundled: readonly string[];
  /** The licence of a key of `lock`, where the lock names none. */
  readonly licenseOf: (key: string) => string | undefined;
}

interface Component {
  readonly type: "application" | "library" | "platform";
  readonly "bom-ref": string;
  readonly group?: string;
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
  readonly description?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly unknown[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

/** A CycloneDX 1.6 bill of materials as JSON text; the same subject gives the same text. */
export function makeSbom(subject: SbomSubject): string {
  const { release, platform, commit, epochSeconds, parts, lock, modules, bundled } = subject;
  const keys = [...new Set([...modules, ...bundled])].sort();
  const ofModules = new Set(modules);
  const components = keys.map((key) => componentOf(key, subject, ofModules.has(key) ? "node_modules" : "console"));
  const refs = new Map(keys.map((key, index) => [key, (components[index] as Component)["bom-ref"]]));
  const others = parts.map(partComponent);
  const root = `pkg:generic/plantgate@${release}?platform=${platform}`;
  const body = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(epochSeconds * 1000).toISOString(),
      lifecycles: [{ phase: "build" }],
      component: {
        type: "application",
        "bom-ref": root,
        name: "plantgate",
        version: release,
        purl: root,
        licenses: [{ license: { id: "Apache-2.0" } }],
        properties: [{ name: "plantgate:builtFrom", value: commit }],
      },
    },
    components: [...others, ...components],
    dependencies: [
      { ref: root, dependsOn: [...new Set([...others, ...components].map((component) => component["bom-ref"]))].sort() },
      ...others.map((component) => ({ ref: component["bom-ref"] })),
      ...[...byRef(keys, refs)].map(([ref, same]) => ({ ref, dependsOn: dependsOn(same, lock, refs) })),
    ],
  };
  const hash = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  // a name made of the content (RFC 9562, version 8): a build anew of the same is the same bill
  const serialNumber = `urn:uuid:${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
  const $schema = "http://cyclonedx.org/schema/bom-1.6.schema.json";
  const { components: all, ...rest } = body;
  return `${JSON.stringify({ $schema, ...rest, serialNumber, components: unique(all) }, null, 1)}\n`;
}

/** A package in two places of node_modules is one component. */
function unique(components: readonly Component[]): readonly Component[] {
  return [...new Map(components.map((component) => [component["bom-ref"], component])).values()];
}

function byRef(keys: readonly string[], refs: ReadonlyMap<string, string>): Map<string, string[]> {
  return Map.groupBy(keys, (key) => refs.get(key) as string) as Map<string, string[]>;
}

function dependsOn(keys: readonly string[], lock: SbomSubject["lock"], refs: ReadonlyMap<string, string>): string[] {
  const found = keys.flatMap((key) =>
    Object.keys(lock[key]?.dependencies ?? {}).flatMap((name) => {
      const at = resolveFrom(key, name, lock);
      return at === undefined ? [] : (refs.get(at) ?? []);
    }),
  );
  return [...new Set(found)].sort();
}

/** The key of the package that `name` means to the package at `key`: as Node.js looks for it, from the inside outwards. */
export function resolveFrom(key: string, name: string, lock: SbomSubject["lock"]): string | undefined {
  for (let at = key; ; ) {
    const tried = `${at === "" ? "" : `${at}/`}node_modules/${name}`;
    if (lock[tried]) return tried;
    if (at === "") return undefined;
    at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")));
  }
}

function componentOf(key: string, { lock, licenseOf }: SbomSubject, place: string): Component {
  const locked = lock[key] as Locked;
  const full = key.slice(key.lastIndexOf("node_modules/") + "node_modules/".length);
  const [group, name] = full.startsWith("@") ? (full.split("/") as [string, string]) : [undefined, full];
  const purl = `pkg:npm/${group === undefined ? "" : `${encodeURIComponent(group)}/`}${name}@${locked.version}`;
  const license = locked.license ?? licenseOf(key);
  return {
    type: "library",
    "bom-ref": purl,
    ...(group === undefined ? {} : { group }),
    name,
    version: locked.version,
    purl,
    ...(locked.integrity === undefined ? {} : { hashes: [hashOf(locked.integrity)] }),
    ...(license === undefined ? {} : { licenses: licenses(license) }),
    properties: [{ name: "plantgate:place", value: place }],
  };
}

function partComponent({ name, version, license, purl, sha256, description }: Part): Component {
  const hashes = [{ alg: "SHA-256", content: sha256 }];
  return {
    type: name === "node" ? "platform" : "library",
    "bom-ref": purl,
    name,
    version,
    purl,
    description,
    hashes,
    licenses: licenses(license),
  };
}

/** npm's integrity (of the packed package) as CycloneDX says a hash. */
function hashOf(integrity: string): { alg: string; content: string } {
  const [algorithm = "", value = ""] = integrity.split("-", 2);
  const alg = { sha512: "SHA-512", sha384: "SHA-384", sha256: "SHA-256", sha1: "SHA-1" }[algorithm];
  if (alg === undefined) throw new Error(`a hash of unknown kind in package-lock.json: ${integrity}`);
  return { alg, content: Buffer.from(value, "base64").toString("hex") };
}

function licenses(said: string): readonly unknown[] {
  return /\s/.test(said) ? [{ expression: said.replace(/^\((.*)\)$/, "$1") }] : [{ license: { id: said } }];
}
