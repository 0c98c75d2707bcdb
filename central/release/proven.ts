import { adminKeyName } from "../auth/actor.ts";
import { isSamePerson, sentByNobody } from "../change/change-state.ts";
import { environmentBefore } from "../change/environments.ts";
import { ChangeRefused } from "../change/refused.ts";
import type { Database } from "../storage/storage.ts";
import { type CarriedRelease, parseCarried, sendersOf } from "./carried.ts";

/** Sites at which a package of a version held its gate, in changes that are done and carry the same. */
export interface Ran {
  readonly environment: string;
  readonly file: string;
  readonly sha256: string;
  readonly sites: number;
}

/** Where versions ran, by the very bytes: what was taken away and came again as something else has run nowhere. */
export async function whereRan(db: Database, version?: string): Promise<Ran[]> {
  let query = db
    .selectFrom("rollout_sites as each")
    .innerJoin("rollouts", "rollouts.number", "each.rollout")
    .innerJoin("changes", "changes.number", "rollouts.change")
    .select(({ fn }) => [
      ...(["changes.environment", "changes.release", "each.to_package"] as const),
      fn.count<number>("each.site").distinct().as("sites"),
    ])
    .where("changes.state", "=", "done")
    .where("changes.release", "!=", "")
    .where("each.state", "=", "healthy")
    .groupBy(["changes.environment", "changes.release", "each.to_package"]);
  if (version !== undefined) query = query.where("each.to_version", "=", version);
  const rows = await query.execute();
  return rows.flatMap(({ environment, release, to_package: file, sites }) => {
    const carried = parseCarried(release)?.packages.find((each) => each.file === file);
    return carried ? [{ environment, file: carried.file, sha256: carried.sha256, sites: Number(sites) }] : [];
  });
}

/** Of each package that is carried: at how many sites of the environment before it held its gate. */
export async function ranBefore(db: Database, environment: string, { version, packages }: CarriedRelease): Promise<number[]> {
  const from = environmentBefore.get(environment);
  const ran = from === undefined ? [] : (await whereRan(db, version)).filter((each) => each.environment === from);
  return packages.map(({ file, sha256 }) => mostSites(ran.filter((each) => each.file === file && each.sha256 === sha256)));
}

/**
 * What stands against a version in an environment that asks for review: it has run at no site of the one before, and nobody has said why it goes there all
 * the same. One of its packages is enough: a bench of another platform proves the program, and each machine tries its own.
 */
export async function untriedIn(db: Database, environment: string, release: CarriedRelease): Promise<string | undefined> {
  const from = environmentBefore.get(environment);
  if (from === undefined || release.untested !== undefined) return undefined;
  if ((await ranBefore(db, environment, release)).some((sites) => sites > 0)) return undefined;
  const { version } = release;
  return `${environment} takes a version that held its gate at a site of ${from}, and ${version} has not in these packages: roll it out there first (plantgate rollout start --release ${version} --environment ${from}), or write a change that says why it goes without (--untested REASON)`;
}

/** Told before anybody reads it in vain: where review is asked for, it ran before, and its packages are a person's. @throws ChangeRefused */
export async function requireReviewable(db: Database, environment: string, release: CarriedRelease): Promise<void> {
  const untried = await untriedIn(db, environment, release);
  if (untried !== undefined) throw new ChangeRefused("conflict", untried);
  if ((await sendersOf(db, release)).some((sender) => isSamePerson(sender, adminKeyName)))
    throw new ChangeRefused(
      "conflict",
      `"${environment}" asks for review, and packages of ${release.version} were ${sentByNobody}`,
    );
}

/** Several changes may have brought the same package, to the same sites again or to others: no less than this. */
export function mostSites(ran: readonly Ran[]): number {
  return Math.max(0, ...ran.map(({ sites }) => sites));
}
