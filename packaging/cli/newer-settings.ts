import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { version as ownVersion } from "../../gateway/version.ts";
import { compareVersions } from "../../protocol/index.ts";
import { lastUpgrade, parseRecord, versionName } from "../upgrade/records.ts";
import { installed, type Role } from "./installed.ts";

/** What `main` of a role says of settings: the names of those that this version does not take. */
export type RefusedSettings = (settings: Readonly<Record<string, unknown>>) => readonly string[];

/** With another value than the one that is meant the data would be another's. */
const whereDataLies = ["dataDir", "databaseUrl"];

/**
 * After a way back the settings' file may say what only the newer version takes. That is passed over and said, so that no plant stands still for a line of
 * it (ADR 0129, 0142). Where no newer version was here, what is not taken stays, and ends the start: it was mistyped.
 * @param refused names of which this version does not take the value, or knows nothing
 */
export function withoutNewer(
  role: Role,
  settings: Readonly<Record<string, unknown>>,
  refused: readonly string[],
  tell: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Record<string, unknown> {
  const { taken, passedOver } = newerSettings(role, settings, refused);
  if (passedOver)
    tell(
      `plantgate: version ${ownVersion} does not take ${passedOver.names} of /etc/plantgate/${role}.yaml, and goes on without: version ${passedOver.newer} was here. Correct it, or bring a version that takes it`,
    );
  return taken;
}

/** The same for whoever says it in other words: what is taken; and what is passed over, for which version's sake. */
export function newerSettings(
  role: Role,
  settings: Readonly<Record<string, unknown>>,
  refused: readonly string[],
): {
  readonly taken: Record<string, unknown>;
  readonly passedOver: { readonly names: string; readonly newer: string } | undefined;
} {
  const strange = refused.filter((name) => !whereDataLies.includes(name));
  const newer = strange.length === 0 ? undefined : newerVersionOf(role);
  if (newer === undefined) return { taken: { ...settings }, passedOver: undefined };
  return {
    taken: Object.fromEntries(Object.entries(settings).filter(([name]) => !strange.includes(name))),
    passedOver: { names: strange.map((name) => `"${name}"`).join(", "), newer },
  };
}

/** The newest version that runs or ran on this machine, where that is newer than this one. */
function newerVersionOf(role: Role): string | undefined {
  const here = installed(role);
  if (!here) return undefined;
  const [versions, last] = [join(here.root, "versions"), join(here.root, "last-upgrade.json")];
  const noted = existsSync(last) ? parseRecord(lastUpgrade, readFileSync(last, "utf8")) : undefined;
  // what was refused never was here, whoever named it
  const ran = noted === undefined ? [] : [noted.from, ...(noted.outcome === "refused" ? [] : [noted.version])];
  const names = existsSync(versions) ? readdirSync(versions) : [];
  return [...names, ...ran]
    .filter((name) => versionName.safeParse(name).success && compareVersions(name, ownVersion) > 0)
    .toSorted(compareVersions)
    .at(-1);
}
