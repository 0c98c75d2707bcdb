import { z } from "zod";
import { identifier } from "./types/common.ts";

/** `1.2.3`, and what may follow it (`1.2.3-rc.1`): part of file and folder names, so nothing else is in it. */
const versionText = String.raw`\d{1,6}\.\d{1,6}\.\d{1,6}(?:[-+][0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*)?`;
export const releaseVersion = z
  .string()
  .max(64)
  .regex(new RegExp(`^${versionText}$`), "a version: 1.2.3");

/** How a gateway was installed, and so what it can be upgraded with. */
export const packageKinds = ["deb", "tar"] as const;
export type PackageKind = (typeof packageKinds)[number];

/** What a package's file name says. */
export interface PackageName {
  readonly version: string;
  readonly platform: string;
  readonly kind: PackageKind;
}

const debName = new RegExp(`^plantgate-gateway_(${versionText})_(amd64|arm64)\\.deb$`);
const tarName = new RegExp(`^plantgate-(${versionText})-(linux-x64|linux-arm64|windows-x64)\\.tar\\.gz$`);
const debPlatforms: Readonly<Record<string, string>> = { amd64: "linux-x64", arm64: "linux-arm64" };

/** Undefined: no package of a gateway is named so, and nothing else is ever written or asked for under such a name. */
export function parsePackageName(file: string): PackageName | undefined {
  if (file.length > 128) return undefined;
  const deb = debName.exec(file);
  if (deb) return named(deb[1], debPlatforms[deb[2] ?? ""], "deb");
  const tar = tarName.exec(file);
  return tar ? named(tar[1], tar[2], "tar") : undefined;
}

function named(version: string | undefined, platform: string | undefined, kind: PackageKind): PackageName | undefined {
  return version === undefined || platform === undefined ? undefined : { version, platform, kind };
}

/**
 * Negative: `one` is older. By numbers, as semantic versions are; what comes before a release (`1.2.3-rc.1`, which Debian writes `1.2.3~rc.1`) is older than it.
 * What stands behind a plus counts last, and numbers within a word as numbers, as for dpkg (ADR 0154): whoever could be led from 1.0.0+2 to 1.0.0+1 unasked could be
 * led to an old hole.
 */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [parts(one), parts(other)];
  for (const [index, number] of a.numbers.entries()) {
    const difference = number - (b.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  const isRelease = Number(a.before.length === 0) - Number(b.before.length === 0);
  return isRelease || compareLists(a.before, b.before) || compareLists(a.build, b.build);
}

interface Parts {
  readonly numbers: readonly number[];
  readonly before: readonly string[];
  readonly build: readonly string[];
}

function parts(version: string): Parts {
  const [said = "", build = ""] = version.split("+");
  const dash = said.search(/[-~]/);
  const [core, before] = dash === -1 ? [said, ""] : [said.slice(0, dash), said.slice(dash + 1)];
  const words = (text: string): string[] => (text === "" ? [] : text.split("."));
  return { numbers: core.split(".").map(Number), before: words(before), build: words(build) };
}

function compareLists(one: readonly string[], other: readonly string[]): number {
  for (const [index, word] of one.entries()) {
    const than = other[index];
    if (than === undefined) return 1;
    const difference = compareWords(word, than);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

/** `b9` is older than `b10`, `1a` than `2`, and any number than any letter. */
function compareWords(one: string, other: string): number {
  const [a, b] = [runsOf(one), runsOf(other)];
  for (const [index, run] of a.entries()) {
    const than = b[index];
    if (than === undefined) return 1;
    if (run === than) continue;
    const [isNumber, thanIsNumber] = [/^\d/.test(run), /^\d/.test(than)];
    if (isNumber !== thanIsNumber) return isNumber ? -1 : 1;
    const difference = isNumber ? Number(run) - Number(than) : run < than ? -1 : 1;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function runsOf(word: string): string[] {
  return word.match(/\d+|\D+/g) ?? [];
}

/** Of a package, and of one chunk of it as it lies at central. */
export const releaseLimits = { packageBytes: 256 * 1024 * 1024, chunkBytes: 1024 * 1024 } as const;

/** A raw Ed25519 signature over the package's bytes, in base64: whoever makes releases signed it, and root's updater in the plant judges it. */
export const releaseSignature = z.base64().length(88);

export const packageFile = z
  .string()
  .refine((file) => parsePackageName(file) !== undefined, "not the name of a gateway's package")
  .meta({ description: "plantgate-gateway_VERSION_ARCH.deb or plantgate-VERSION-PLATFORM.tar.gz" });

/** `desired.release` of a downlink answer: the package that the gateway should hand to its machine's updater. */
export const releaseOffer = z
  .object({
    /** Names this wish: the same version may be wanted again after it was given back. */
    attempt: identifier,
    version: releaseVersion,
    file: packageFile,
    size: z.int().min(1).max(releaseLimits.packageBytes),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    signature: releaseSignature,
    /** The way back: it is older than what the gateway runs, and wanted all the same. */
    older: z.literal(true).optional(),
  })
  .refine(({ file, version }) => parsePackageName(file)?.version === version, "the file is of another version");
export type ReleaseOffer = z.infer<typeof releaseOffer>;

/**
 * What a gateway says of an upgrade. `downloading`: bytes come. `handed-over`: the machine's updater has it. `trial`: it runs, and the updater may still go back by itself.
 * `kept`, `rolled-back`, `refused`: what came of the last one. A later gateway may say more.
 */
export type UpgradeState = "none" | "downloading" | "handed-over" | "trial" | "kept" | "rolled-back" | "refused";
