import type { SiteFacts, SiteReport } from "./facts.ts";

/** What a rollout gives its sites: a revision of their configuration, or a version of their gateway's program. */
export type Target = RevisionRef | VersionRef;

/** A revision by number and content: after a restore of central a number may stand for something else. */
export interface RevisionRef {
  readonly revision: number;
  readonly digest: string | null;
}
/** A version, and the package that brings it to this very site; null: central has none, so nobody gets there from here. */
export interface VersionRef {
  readonly version: string;
  readonly package: string | null;
}

export function isVersion(target: Target): target is VersionRef {
  return "version" in target;
}

/** "revision 7", "version 0.2.0" */
export function nameOf(target: Target): string {
  return isVersion(target) ? `version ${target.version}` : `revision ${target.revision}`;
}

/** Whether that is what the site is to run, whoever said so. */
export function isDesired({ desired, desiredVersion }: SiteFacts, target: Target): boolean {
  return isVersion(target) ? desiredVersion === target.version : desired === target.revision;
}

export function isSameTarget(one: Target, other: Target): boolean {
  if (isVersion(one)) return isVersion(other) && one.version === other.version;
  return !isVersion(other) && one.revision === other.revision;
}

/** What the site is to run now, of the kind that `like` is. */
export function describeDesired({ desired, desiredVersion }: SiteFacts, like: Target): string {
  if (!isVersion(like)) return `revision ${desired}`;
  return desiredVersion === "" ? "no version in particular" : `version ${desiredVersion}`;
}

/** What the gateway says that it runs, of the kind that `like` is. */
export function describeRunning(report: SiteReport | null, like: Target): string {
  if (isVersion(like)) return report?.version ?? "no version";
  return String(report?.revision ?? 0);
}

/** Whether a gateway says that it runs this. */
export function isInEffect(report: SiteReport | null, target: Target): report is SiteReport {
  if (report === null) return false;
  if (isVersion(target)) return report.version === target.version;
  const { revision, digest } = target;
  return report.revision === revision && (digest === null || report.digest === null || report.digest === digest);
}

/** Whether the gateway, or its machine's updater, still watches what it runs, and may yet give it back. */
export function isOnTrial(report: SiteReport | null, target: Target): boolean {
  return isVersion(target) ? report?.upgrade?.state === "trial" : report?.state === "watching";
}

/** Whether the gateway is about to run something else than it says. */
export function isMoving(report: SiteReport, target: Target): boolean {
  if (!isVersion(target)) return report.state === "applying";
  const { state, version } = report.upgrade ?? { state: "none", version: null };
  return (state === "handed-over" || state === "trial" || state === "downloading") && version !== target.version;
}

/** Why a site that was told will not run it: refused, or given back by its own gateway or its machine. Undefined: nothing says so. */
export function refusalOf(report: SiteReport | null, to: Target, before: string | null | undefined): string | undefined {
  if (report === null) return undefined;
  // the same words as before it was told are about something else, or about an attempt before this one
  const words = refusalText(report, to);
  if (words === null || words === before) return undefined;
  const [isRefused, reason] = isVersion(to)
    ? [report.upgrade?.state === "refused", report.upgrade?.reason]
    : [report.state === "refused", report.reason];
  const what = isRefused ? "its gateway refused it" : "its gateway gave it back";
  return reason ? `${what}: ${reason}` : what;
}

/** The refusal that a report tells of, as words that differ from those of another one; null: it tells of none that concerns `to`. */
export function refusalText({ state, reason, refused, upgrade }: SiteReport, to: Target): string | null {
  if (isVersion(to)) {
    const isRefusal = upgrade?.state === "refused" || upgrade?.state === "rolled-back";
    return isRefusal && upgrade.version === to.version ? JSON.stringify(upgrade) : null;
  }
  if (state !== "refused" && state !== "rolled-back") return null;
  const isOther =
    refused &&
    (refused.revision !== to.revision || (to.digest !== null && refused.digest !== undefined && refused.digest !== to.digest));
  return isOther ? null : JSON.stringify([state, reason, refused]);
}
