import { join } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import type { Trial } from "./records.ts";
import type { TrialDeps } from "./trials.ts";

const dpkgWithinMs = 10 * 60_000;
const officialTries = 7;
const officialEveryMs = 20_000;

/**
 * What belongs to the version beside its tree: dpkg's records and the units. It runs without, so what fails is said, and no more; another package
 * manager at work is waited for. @returns what is missing
 */
export async function makeOfficial(deps: TrialDeps, { version, package: name }: Trial): Promise<string | undefined> {
  const { layout, machine, tell } = deps;
  const file = name === undefined ? undefined : join(layout.work, name);
  const script = join(layout.versions, version, "install", "refresh.sh");
  const isDebian = (await machine.debianVersion(layout.role)) !== undefined;
  const command = isDebian ? dpkgCommand(file, machine) : machine.exists(script) ? ["sh", script, layout.role] : undefined;
  if (command === undefined) return undefined;
  const [program = "", ...args] = command;
  // dpkg unpacks all of it once more, which takes longer than a person waits without a word
  if (isDebian) tell(`dpkg is told of version ${version}`);
  for (let tries = 1; ; tries++) {
    try {
      await machine.run(program, args, dpkgWithinMs);
      return undefined;
    } catch (error) {
      if (!(error instanceof PlantgateError)) throw error;
      tell(`version ${version} runs, and its units are those of the version before: ${error.message}`);
      if (tries === officialTries)
        return `its units are those of the version before: ${error.message}${isDebian ? `; run: dpkg -i ${file}` : ""}`;
    }
    await machine.clock.sleep(officialEveryMs);
  }
}

function dpkgCommand(file: string | undefined, machine: TrialDeps["machine"]): string[] | undefined {
  if (!file?.endsWith(".deb") || !machine.exists(file)) return undefined;
  const environment = ["PLANTGATE_ALLOW_OLDER=1", "DEBIAN_FRONTEND=noninteractive"];
  return ["env", ...environment, "dpkg", "--force-confdef", "--force-confold", "--install", file];
}

/**
 * dpkg names the version that came last, also where another one runs: a trial that it began was taken back, or a person went back. Its units and its
 * settings' example are those of the version it names.
 * @param running the version that runs
 * @returns undefined where the two agree, or no package is installed
 */
export async function disagreement(
  { layout, machine }: TrialDeps,
  running: string,
): Promise<{ readonly known: string; readonly sentence: string } | undefined> {
  const known = await machine.debianVersion(layout.role);
  if (known === undefined || known === running) return undefined;
  const file = `plantgate-${layout.role}_${running}_${process.arch === "arm64" ? "arm64" : "amd64"}.deb`;
  return { known, sentence: `dpkg names version ${known}, and ${running} runs; they agree again by: dpkg -i ${file}` };
}
