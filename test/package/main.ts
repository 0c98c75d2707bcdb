import { join } from "node:path";
import { Command, Option } from "commander";
import { emulateArm64, missingEmulation } from "./arm64/emulation.ts";
import { tellArm64Story } from "./arm64/story.ts";
import { attempt } from "./attempt.ts";
import type { Figures } from "./figures.ts";
import { type Kind, Releases } from "./releases.ts";
import { keepRoot } from "./root.ts";
import { tellStory } from "./story.ts";

const program = new Command("npm run test:package --")
  .description(
    "Installs, upgrades and removes what npm run package made, in a booted Debian 12 without Node.js that reaches only central.",
  )
  .addOption(
    new Option("--only <part>", "the Debian package's gateway, its central, or the archive; without it all").choices([
      "gateway",
      "central",
      "tarball",
    ]),
  )
  .option("--postgres", "also try central's unit with a PostgreSQL of this machine, which is installed where it is missing")
  .addOption(
    new Option("--platform <platform>", "a shorter story of the packages for arm64, elsewhere by emulation").choices([
      "linux-arm64",
    ]),
  )
  .option("--watch <duration>", "how long a new version is watched", "10s")
  .parse();
const {
  only,
  platform,
  watch,
  postgres = false,
} = program.opts<{ only?: "gateway" | "central" | "tarball"; platform?: "linux-arm64"; watch: string; postgres?: boolean }>();
const of = { gateway: only !== "central", central: only !== "gateway" };

process.exitCode =
  platform === "linux-arm64" ? await attempt("arm64", tellArm64, missingEmulation) : await attempt("packages", tellAll);

async function tellArm64(folder: string): Promise<void> {
  await using _emulation = await emulateArm64();
  await keepRoot(tell, "arm64");
  tell(JSON.stringify(await tellArm64Story(folder)));
}

async function tellAll(folder: string): Promise<void> {
  const kinds: Kind[] = only === undefined ? ["tar", "deb"] : [only === "tarball" ? "tar" : "deb"];
  const releases = new Releases(folder, kinds, of);
  await keepRoot(tell);
  // central's installation is one as well
  const [alone, allDone] = oneAtATime(kinds.length + (kinds.includes("deb") ? 1 : 0));
  releases.makeLater(kinds, of, allDone);
  // they wait more than they work: side by side they take little longer than one
  const stories = kinds.map((kind) => tellStory({ kind, folder: join(folder, kind), of, releases, alone, watch, postgres }));
  const figures = await Promise.all(stories);
  for (const [index, each] of kinds.entries()) tell(JSON.stringify(lineOf(each, figures[index] as Figures)));
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What is given to it runs one after the other; the promise resolves when so many have run. */
function oneAtATime(count: number): [<Value>(run: () => Promise<Value>) => Promise<Value>, Promise<void>] {
  const done = Promise.withResolvers<void>();
  let last: Promise<unknown> = Promise.resolve();
  let left = count;
  return [
    (run) => {
      const ended = last.then(run);
      // who waits for it sees it fail
      last = ended
        .catch(() => {})
        .finally(() => {
          if (--left === 0) done.resolve();
        });
      return ended;
    },
    done.promise,
  ];
}

function lineOf(kind: Kind, { packageMiB, ...figures }: Figures): Record<string, unknown> {
  return { [`${kind}MiB`]: packageMiB, ...figures };
}
