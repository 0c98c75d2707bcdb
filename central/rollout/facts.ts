import type { StatusReport } from "../../protocol/index.ts";
import { isPast, type LastHeard } from "../site/presence.ts";

/** What is known of a site at one look. */
export interface SiteFacts {
  /** What it should run, whoever said so. */
  readonly desired: number;
  /** Which version its gateway should be; empty: none in particular. */
  readonly desiredVersion: string;
  /** `absent`: no gateway was ever heard. `silent`: for longer than its lease. */
  readonly link: "reachable" | "silent" | "absent" | "revoked";
  /** When a second gateway with its key was last turned away; null: not lately. */
  readonly fencedAt: number | null;
  readonly report: SiteReport | null;
  /** Whether that is from within its lease: what calls and does not report says nothing of its health. */
  readonly isCurrent: boolean;
}

/** What its gateway last said of itself. */
export interface SiteReport {
  /** When central got it: tells one report from another, and is no order. */
  readonly at: number;
  /** Of its program, and what became of the last attempt to upgrade it; null: it does not say. */
  readonly version: string;
  readonly upgrade: SiteUpgrade | null;
  readonly revision: number;
  readonly digest: string | null;
  readonly state: StatusReport["configuration"]["state"];
  readonly reason: string | null;
  readonly refused: { readonly revision: number; readonly digest?: string | undefined } | null;
  /** Of all time, and since `revision` came into effect; null: its gateway does not count that. */
  readonly deadLetters: number;
  readonly deadLettersSince: number | null;
  readonly startedAt: string;
  readonly connectors: readonly { readonly name: string; readonly state: string; readonly reason?: string | undefined }[];
  /** Age of the oldest message that waits for central, and for a system of the site, when it was said. */
  readonly uplinkLagMs: number;
  readonly deliveryLagMs: number;
}

export interface SiteUpgrade {
  readonly state: NonNullable<StatusReport["upgrade"]>["state"];
  readonly version: string | null;
  readonly reason: string | null;
  /** In its gateway's words: tells one attempt from another. */
  readonly at: string | null;
  readonly bytes: number;
}

/** The columns of a site that facts come from. */
export interface FactRow {
  readonly desired_revision: number;
  readonly desired_version: string;
  readonly revoked_at: number | null;
  readonly fenced_at: number | null;
  readonly status: string | null;
  readonly status_at: number | null;
}

/** So long after a second gateway was turned away a site's gate does not hold: nobody knows which of the two speaks. */
const fencedMs = 10 * 60_000;

export function toFacts(row: FactRow, lastHeard: LastHeard, now: number, leaseMs: number): SiteFacts {
  const { revoked_at: revokedAt, fenced_at: fencedAt } = row;
  const isFenced = fencedAt !== null && isPast(fencedAt, now) && now - fencedAt < fencedMs;
  return {
    desired: row.desired_revision,
    desiredVersion: row.desired_version,
    link: revokedAt !== null ? "revoked" : linkOf(lastHeard, now, leaseMs),
    fencedAt: isFenced ? fencedAt : null,
    report: row.status === null ? null : toReport(JSON.parse(row.status) as StatusReport, row.status_at ?? 0),
    isCurrent: now - (row.status_at ?? 0) <= leaseMs,
  };
}

export function linkOf(lastHeard: LastHeard, now: number, leaseMs: number): "reachable" | "silent" | "absent" {
  if (lastHeard === null) return "absent";
  return lastHeard !== "unclear" && now - lastHeard <= leaseMs ? "reachable" : "silent";
}

function toReport(status: StatusReport, at: number): SiteReport {
  const { configuration, deliveries, sentAt, upgrade } = status;
  // by the gateway's own clock on both sides: how wrong it is does not matter
  const age = (oldestAt: string | undefined): number =>
    oldestAt === undefined ? 0 : Math.max(0, Date.parse(sentAt) - Date.parse(oldestAt));
  return {
    at,
    version: status.gatewayVersion,
    upgrade:
      upgrade === undefined
        ? null
        : {
            ...{ state: upgrade.state, version: upgrade.version ?? null, reason: upgrade.reason ?? null },
            ...{ at: upgrade.at ?? null, bytes: upgrade.bytes ?? 0 },
          },
    revision: configuration.reported,
    digest: configuration.digest ?? null,
    state: configuration.state,
    reason: configuration.reason ?? null,
    refused: configuration.refused ?? null,
    deadLetters: status.deadLetters,
    deadLettersSince: configuration.since?.deadLetters ?? null,
    startedAt: status.startedAt,
    connectors: status.connectors.map(({ name, state, reason }) => ({ name, state, reason })),
    uplinkLagMs: Math.max(0, ...status.lanes.map(({ oldestAt }) => age(oldestAt))),
    deliveryLagMs: age(deliveries.oldestAt),
  };
}
