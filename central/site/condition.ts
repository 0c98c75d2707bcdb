import type { StatusReport } from "../../protocol/index.ts";
import type { SiteCondition } from "../http/views.ts";
import { diskWords, isPast, type LastHeard } from "./presence.ts";

/** What central knows of a site when it judges it. Instants are epoch ms by central's clock. */
export interface SiteFacts {
  readonly now: number;
  readonly leaseMs: number;
  readonly revokedAt: number | null;
  readonly lastHeardAt: LastHeard;
  readonly fencedAt: number | null;
  readonly status: StatusReport | null;
  /** Since when nothing of a lane's backlog was recorded, of the lane where that is longest. */
  readonly backlogUnmovedSince: number | undefined;
}
type Judgement = { readonly condition: SiteCondition; readonly reason: string };

/** With a report each few seconds a person sees within 30 s that a lane does not drain. */
const stuckAfterMs = 20_000;
/** A backlog younger than this is a batch on its way. */
const backlogAgeMs = 5000;
/** How long a turned-away second gateway stays the first thing that people see. */
const fencedShownMs = 10 * 60_000;

/** Judges a site, with one sentence for a person. Silence longer than the lease is `unknown`, whatever was said before (P11). */
export function judgeCondition(facts: SiteFacts): Judgement {
  const judged = judgeLink(facts);
  const troubles = judged.condition === "revoked" || judged.condition === "new" ? [] : troublesOf(facts.status);
  return troubles.length === 0 ? judged : { ...judged, reason: `${judged.reason}; ${troubles.join("; ")}` };
}

function judgeLink(facts: SiteFacts): Judgement {
  const { now, lastHeardAt, status } = facts;
  if (facts.revokedAt !== null) return { condition: "revoked", reason: "its access was revoked" };
  if (lastHeardAt === null) return { condition: "new", reason: "its gateway was never heard" };
  if (lastHeardAt === "unclear")
    return {
      condition: "unknown",
      reason: "silent, and nobody can tell since when: central's clock was ahead when it was last heard",
    };
  const silentMs = now - lastHeardAt;
  if (silentMs > facts.leaseMs) {
    return {
      condition: "unknown",
      reason: `silent for ${seconds(silentMs)}; its lease ended ${seconds(silentMs - facts.leaseMs)} ago`,
    };
  }
  if (facts.fencedAt !== null && isPast(facts.fencedAt, now) && now - facts.fencedAt < fencedShownMs) {
    return {
      condition: "fenced",
      reason: `a second gateway with this site's key was turned away ${seconds(now - facts.fencedAt)} ago: is a clone running?`,
    };
  }
  const waiting = (status?.lanes ?? []).reduce((sum, lane) => sum + Math.max(0, lane.last - lane.acknowledged), 0);
  if (waiting > 0 && facts.backlogUnmovedSince !== undefined && now - facts.backlogUnmovedSince >= stuckAfterMs) {
    const unmoved = `connected, but none of ${count(waiting)} waiting messages was recorded for ${seconds(now - facts.backlogUnmovedSince)}`;
    const said = stalledOf(status);
    return { condition: "stuck", reason: said === undefined ? unmoved : `${unmoved}: ${said}` };
  }
  if (waiting > 0 && oldestAgeMs(status) > backlogAgeMs)
    return { condition: "draining", reason: `works off a backlog of ${count(waiting)} messages` };
  return { condition: "online", reason: `heard within its lease; ${deliveriesIn(status)}` };
}

/** Why nothing gets through, in the gateway's own words. */
function stalledOf(status: StatusReport | null): string | undefined {
  const lanes = (status?.lanes ?? []).filter((lane) => lane.stalled !== undefined && lane.stalled !== "");
  const [first] = lanes;
  if (!first) return undefined;
  const same = lanes.every((lane) => lane.stalled === first.stalled);
  return same ? first.stalled : lanes.map((lane) => `${lane.lane}: ${lane.stalled}`).join("; ");
}

/** What needs a person beside the link: a configuration that does not run, a full disk, deliveries that nobody makes any more by themselves. */
function troublesOf(status: StatusReport | null): string[] {
  if (!status) return [];
  const { parked, stale: ofUnknownAge, unknown } = status.deliveries;
  const deliveries = (many: number): string => (many === 1 ? "1 delivery" : `${count(many)} deliveries`);
  return [
    ...(status.downlink ? [`what central sends is not taken: ${status.downlink.stalled}`] : []),
    ...configurationTrouble(status.configuration),
    ...(status.disk.state === "ok" ? [] : [diskWords[status.disk.state]]),
    ...(parked > 0 ? [`${deliveries(parked)} parked: attempts are used up, their keys are held`] : []),
    ...(unknown > 0 ? [`${deliveries(unknown)} of unknown outcome: a person has to decide`] : []),
    ...(ofUnknownAge > 0
      ? [`${deliveries(ofUnknownAge)} of unknown age since the machine restarted: nobody can judge their deadline`]
      : []),
  ];
}

/** What central wants, and the site does not run, as its gateway says. */
function configurationTrouble({ state, reason, refused }: StatusReport["configuration"]): string[] {
  if (state === "rolled-back") return [reason ?? "its gateway rolled a revision back"];
  if (state !== "refused") return [];
  return [
    `its gateway refuses ${refused ? `revision ${refused.revision}` : "its configuration"}: ${reason ?? "it does not say why"}`,
  ];
}

/** What waits for systems at the site, by the gateway's own clock. */
function deliveriesIn(status: StatusReport | null): string {
  const { waiting = 0, oldestAt } = status?.deliveries ?? {};
  if (waiting === 0) return "nothing waits";
  const age =
    status && oldestAt !== undefined ? `, the oldest for ${seconds(Date.parse(status.sentAt) - Date.parse(oldestAt))}` : "";
  return `${count(waiting)} ${waiting === 1 ? "message waits" : "messages wait"} for its own systems${age}`;
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
function count(value: number): string {
  return value.toLocaleString("en-US");
}
