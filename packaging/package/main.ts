import { resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { version } from "../../gateway/version.ts";
import { build } from "./build.ts";
import { BuildError } from "./command.ts";
import { type Kind, kinds, type PlatformName, platformNames, type Role, roles } from "./platforms.ts";
import { project } from "./workspace.ts";

interface Flags {
  readonly release: string;
  readonly platform: readonly PlatformName[];
  readonly kind: readonly Kind[];
  readonly role: readonly Role[];
  readonly out: string;
  readonly alsoTrust?: readonly string[];
  readonly quick?: boolean;
}

/** Takes several of the words that are known: `deb,tar`. */
function listOf<Word extends string>(known: readonly Word[]): (value: string) => readonly Word[] {
  return (value) => {
    const words = value.split(",").map((word) => word.trim());
    const wrong = words.find((word) => !known.includes(word as Word));
    if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is none of ${known.join(", ")}.`);
    return known.filter((word) => words.includes(word));
  };
}

function parseRelease(value: string): string {
  if (!/^\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9a-z]+(\.[0-9a-z]+)*)?$/.test(value))
    throw new InvalidArgumentError("Give a version such as 0.2.0 or 0.2.0-rc.1.");
  return value;
}

const program = new Command("npm run package --")
  .description(
    "Makes the packages that plants and central install: Debian packages and archives, signed, each with its bill of materials.",
  )
  .option("--release <version>", "version that the packages have; default: the sources'", parseRelease, version)
  .option("--platform <names>", `some of ${platformNames.join(",")}`, listOf(platformNames), platformNames)
  .option("--kind <kinds>", "deb, tar or both", listOf(kinds), kinds)
  .option("--role <roles>", "of Debian packages: gateway, central or both", listOf(roles), roles)
  .option("--out <folder>", "where packages, downloads and work go", resolve(project, "out"))
  .option("--also-trust <file...>", "public keys (PEM) by which the versions after this one may be signed as well")
  .option("--quick", "pack with little effort, for trying: the files are a seventh larger, and what is in them is the same")
  .addHelpText(
    "after",
    `
Result: OUT/packages. Each file has a signature (FILE.sig: Ed25519 over its bytes, base64), all of them stand in SHA256SUMS.
PLANTGATE_RELEASE_KEY names the key (PEM; made with "openssl genpkey -algorithm ed25519"); without it, one is made here once.
What is downloaded, and kept in OUT/cache: production packages and Node.js from npm, by the hashes in package-lock.json;
libatomic1 from Debian, by apt's signatures. Needs npm, tar, dpkg-deb and apt-get.`,
  )
  .exitOverride()
  .showHelpAfterError("(add --help for what this command takes)");

const begun = performance.now();
const tell = (what: string): void => {
  process.stderr.write(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${what}\n`);
};
try {
  program.parse();
  const { out, ...flags } = program.opts<Flags>();
  await build({ ...flags, out: resolve(out), keyFile: process.env.PLANTGATE_RELEASE_KEY, tell });
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof BuildError) {
    process.stderr.write(`\npackage: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}
