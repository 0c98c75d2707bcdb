import type { RolloutSiteState } from "../http/api/rollouts.ts";
import type { SiteFacts } from "./facts.ts";
import type { RolloutEvent, RolloutEventKind, SiteRecord } from "./state.ts";
import { isDesired, isInEffect, isMoving, isOnTrial, isVersion, nameOf, refusalOf } from "./target.ts";

/** What became of a site that a rollout left behind when it ended; undefined: nothing new. */
export function lookAfter(
  ended: "done" | "aborted" | "rolled-back",
  site: SiteRecord,
  facts: SiteFacts,
): { readonly site: SiteRecord; readonly event: RolloutEvent } | undefined {
  const { report } = facts;
  const told = (state: RolloutSiteState, reason: string | null, kind: RolloutEventKind, text: string) => ({
    site: { ...site, state, reason },
    event: { site: site.site, kind, text },
  });
  if (report === null) return undefined;
  const isBack = isDesired(facts, site.from);
  const goesBack = site.state === "putting-back" || (site.state === "failed" && isBack);
  if (goesBack) {
    if (!isBack || report.at === site.memory?.at || isMoving(report, site.from) || !isInEffect(report, site.from))
      return undefined;
    return told("put-back", site.reason, "put-back", `runs ${nameOf(site.from)}`);
  }
  if (ended !== "done" || !isDesired(facts, site.to)) return undefined;
  if (isInEffect(report, site.to)) {
    if (isVersion(site.to) ? isOnTrial(report, site.to) : report.state !== "active") return undefined;
    return told("healthy", null, "returned", `runs ${nameOf(site.to)}`);
  }
  if (site.state !== "pending") return undefined;
  const refusal = refusalOf(report, site.to, site.memory?.refusal);
  if (refusal === undefined) return undefined;
  return told("failed", refusal, "failed", `${refusal}; the rollout has ended, a person has to look`);
}
