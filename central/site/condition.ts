import type { StatusReport } from "../../protocol/index.ts";
import type { SiteCondition } from "../http/views.ts";

/** What central knows of a site when it judges it. Instants are epoch ms by central's clock. */
export interface SiteFacts {
  readonly now: number;
  readonly leaseMs: number;
  readonly revokedAt: number | null;
  readonly lastHeardAt: number | null;
  readonly fencedAt: number | null;
  readonly status: StatusReport | null;
  /** Since when nothing of a lane's backlog was recorded, of the lane where that is longest. */
  readonly backlogUnmovedSince: number | undefined;
}

const stuckAfterMs = 30_000;
/** A backlog younger than this is a batch on its way. */
const backlogAgeMs = 5000;
/** How long a turned-away second gateway stays the first thing that people see. */
const fencedShownMs = 10 * 60_000;

/** Judges a site, with one sentence for a person. Silence longer than the lease is `unknown`, whatever was said before (P11). */
export function judgeCondition(facts: SiteFacts): { readonly condition: SiteCondition; readonly reason: string } {
  const { now, lastHeardAt, status } = facts;
  if (facts.revokedAt !== null) return { condition: "revoked", reason: "its access was revoked" };
  if (lastHeardAt === null) return { condition: "new", reason: "its gateway was never heard" };
  const silentMs = now - lastHeardAt;
  if (silentMs > facts.leaseMs) {
    return {
      condition: "unknown",
      reason: `silent for ${seconds(silentMs)}; its lease ended ${seconds(silentMs - facts.leaseMs)} ago`,
    };
  }
  if (facts.fencedAt !== null && now - facts.fencedAt < fencedShownMs) {
    return {
      condition: "fenced",
      reason: `a second gateway with this site's key was turned away ${seconds(now - facts.fencedAt)} ago: is a clone running?`,
    };
  }
  const waiting = (status?.lanes ?? []).reduce((sum, lane) => sum + Math.max(0, lane.last - lane.acknowledged), 0);
  if (waiting > 0 && facts.backlogUnmovedSince !== undefined && now - facts.backlogUnmovedSince >= stuckAfterMs) {
    return {
      condition: "stuck",
      reason: `connected, but none of ${waiting} waiting messages was recorded for ${seconds(now - facts.backlogUnmovedSince)}`,
    };
  }
  if (waiting > 0 && oldestAgeMs(status) > backlogAgeMs)
    return { condition: "draining", reason: `works off a backlog of ${waiting} messages` };
  return { condition: "online", reason: `heard within its lease; ${deliveriesIn(status)}` };
}

/** What waits for systems at the site, by the gateway's own clock. */
function deliveriesIn(status: StatusReport | null): string {
  const { waiting = 0, unknown = 0, oldestAt } = status?.deliveries ?? {};
  const decide = unknown > 0 ? `; ${unknown} of unknown outcome: a person has to decide` : "";
  if (waiting === 0) return `nothing waits${decide}`;
  const age =
    status && oldestAt !== undefined ? `, the oldest for ${seconds(Date.parse(status.sentAt) - Date.parse(oldestAt))}` : "";
  return `${waiting} ${waiting === 1 ? "message waits" : "messages wait"} for its own systems${age}${decide}`;
}

/** By the gateway's own clock, so that its skew does not matter. */
function oldestAgeMs(status: StatusReport | null): number {
  if (!status) return 0;
  const ages = status.lanes.map((lane) =>
    lane.oldestAt === undefined ? 0 : Date.parse(status.sentAt) - Date.parse(lane.oldestAt),
  );
  return Math.max(0, ...ages);
}

function seconds(ms: number): string {
  return `${Math.floor(ms / 1000)} s`;
}
