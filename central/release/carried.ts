import { compareVersions, type ReleaseOffer, type StatusReport } from "../../protocol/index.ts";
import { ChangeRefused } from "../change/refused.ts";
import type { ChangePlan } from "../change/rolling.ts";
import type { SiteRow } from "../site/registry.ts";
import type { Database } from "../storage/storage.ts";

/** What a change of a version carries: its packages as they were when it was written. A package that comes later is no part of it. */
export interface CarriedRelease {
  readonly version: string;
  readonly packages: readonly {
    readonly file: string;
    readonly platform: string;
    readonly kind: string;
    readonly size: number;
    readonly sha256: string;
  }[];
  /** Why it goes there without having run in the environment before, in its author's words. */
  readonly untested?: string;
}
type VersionPlan = Pick<Extract<ChangePlan, { kind: "release" }>, "sites" | "left">;

export function parseCarried(text: string): CarriedRelease | null {
  return text === "" ? null : (JSON.parse(text) as CarriedRelease);
}

/** @throws ChangeRefused where there is nothing to carry */
export async function carryRelease(db: Database, version: string, untested?: string): Promise<CarriedRelease> {
  const packages = await db
    .selectFrom("release_packages")
    .select(["file", "platform", "kind", "size", "sha256"])
    .where("version", "=", version)
    .where("added_at", "is not", null)
    .orderBy("file")
    .execute();
  if (packages.length === 0)
    throw new ChangeRefused("invalid", `release: central has no packages of ${version}; add them with plantgate release add`);
  return { version, packages, ...(untested === undefined ? {} : { untested }) };
}

/** What stands against rolling it out: its packages are not here any more, or are others. */
export async function releaseMoved(db: Database, { version, packages }: CarriedRelease): Promise<string | undefined> {
  const rows = await db
    .selectFrom("release_packages")
    .select(["file", "sha256"])
    .where("version", "=", version)
    .where("added_at", "is not", null)
    .execute();
  const here = new Map(rows.map(({ file, sha256 }) => [file, sha256]));
  const lost = packages.find(({ file, sha256 }) => here.get(file) !== sha256);
  return lost && `${lost.file} is not here any more as it was when this was written; write a new change`;
}

/** Who gave central the packages, each as it was written down: whoever did does not approve them as well (P12). */
export async function sendersOf(db: Database, { version, packages }: CarriedRelease): Promise<string[]> {
  const rows = await db
    .selectFrom("release_packages")
    .select(["file", "sha256", "added_by"])
    .where("version", "=", version)
    .execute();
  const carried = new Map(packages.map(({ file, sha256 }) => [file, sha256]));
  return rows.filter(({ file, sha256 }) => carried.get(file) === sha256).map(({ added_by: by }) => by);
}

/** Who of an environment gets the version now, from what to what, and who is left alone. */
export async function planRelease(
  db: Database,
  environment: string,
  { version, packages }: CarriedRelease,
): Promise<VersionPlan> {
  const rows = await db
    .selectFrom("sites")
    .select(["name", "environment", "status"])
    .where("revoked_at", "is", null)
    // what was never given an environment is changed as prod is
    .where("environment", "in", environment === "prod" ? ["prod", ""] : [environment])
    .orderBy("name")
    .execute();
  const before = await db.selectFrom("release_packages").select(["file"]).where("added_at", "is not", null).execute();
  const here = new Set(before.map(({ file }) => file));
  const ran = await ranAt(db, version);
  const sites: VersionPlan["sites"][number][] = [];
  const left: string[] = [];
  for (const { name, status } of rows) {
    const gateway = gatewayOf(status);
    if (gateway === null) left.push(`${name} was never heard`);
    else if (gateway.version === version) continue;
    else if (gateway.installed === null) left.push(`${name} is upgraded by hand`);
    else if (compareVersions(gateway.version, version) > 0 && !ran.has(name))
      left.push(`${name} runs ${gateway.version}, which is newer, and never ran ${version}`);
    else {
      const own = packages.find(({ platform, kind }) => platform === gateway.platform && kind === gateway.installed);
      if (!own) left.push(`${name} has no package for ${gateway.platform} (${gateway.installed}) among those of ${version}`);
      else {
        const way = own.file.replaceAll(version, gateway.version);
        const from = { version: gateway.version, package: here.has(way) ? way : null };
        sites.push({ site: name, from, to: { version, package: own.file } });
      }
    }
  }
  return { sites, left };
}

/** Sites that a rollout found at a version, or brought there: a machine goes back to what it has run, and refuses anything else that is older (ADR 0118). */
async function ranAt(db: Database, version: string): Promise<Set<string>> {
  const rows = await db
    .selectFrom("rollout_sites")
    .select("site")
    .distinct()
    .where((eb) =>
      eb.or([eb("from_version", "=", version), eb.and([eb("to_version", "=", version), eb("state", "=", "healthy")])]),
    )
    .execute();
  return new Set(rows.map(({ site }) => site));
}

/** What a gateway's last report says of its program. `installed` null: there is no updater beside it. */
export interface ReportedGateway {
  readonly version: string;
  readonly platform: string | null;
  readonly installed: string | null;
  readonly upgrade: StatusReport["upgrade"] | null;
}

export function gatewayOf(status: string | null): ReportedGateway | null {
  if (status === null) return null;
  const { gatewayVersion: version, platform = null, installed = null, upgrade = null } = JSON.parse(status) as StatusReport;
  return { version, platform, installed: platform === null ? null : installed, upgrade };
}

/** What a site's gateway is told to install; undefined: nothing, or nothing that is here. */
export async function offerOf(
  db: Database,
  site: Pick<SiteRow, "name" | "desired_version" | "desired_package" | "desired_attempt" | "desired_older" | "status">,
): Promise<ReleaseOffer | undefined> {
  const { desired_version: version, desired_package: file, desired_attempt: attempt } = site;
  if (file === "") return undefined;
  const row = await db
    .selectFrom("release_packages")
    .select(["size", "sha256", "signature"])
    .where("file", "=", file)
    .where("version", "=", version)
    .where("added_at", "is not", null)
    .executeTakeFirst();
  if (!row) return undefined;
  const running = gatewayOf(site.status)?.version;
  const isOlder = site.desired_older === 1 && running !== undefined && compareVersions(version, running) < 0;
  const isMeant = isOlder && (await isOf(db, site, running));
  return { attempt, version, file, ...row, ...(isMeant ? { older: true as const } : {}) };
}

/** A way back leads from one of its rollout's versions to the other: who runs a third one was upgraded by hand since, and stays there (ADR 0145). */
async function isOf(
  db: Database,
  { name, desired_attempt: attempt }: Pick<SiteRow, "name" | "desired_attempt">,
  running: string,
): Promise<boolean> {
  const way = await db
    .selectFrom("rollout_sites")
    .select(["from_version", "to_version"])
    .where("rollout", "=", Number.parseInt(attempt, 10))
    .where("site", "=", name)
    .executeTakeFirst();
  return way?.from_version === running || way?.to_version === running;
}
