import type { SiteFacts, SiteReport } from "./facts.ts";
import type { RolloutLimits } from "./planner.ts";
import { isVersion, refusalText, type Target } from "./target.ts";
import { count } from "./wording.ts";

/**
 * What a site's health is compared with, and what was seen of it since; lies in the database as JSON. Taken when the site is told, and anew when
 * it returns from out of reach.
 */
export interface SiteMemory {
  /** The report that was known then; null: none. */
  readonly at: number | null;
  readonly deadLetters: number;
  /** Connectors and whether they were up. */
  readonly connectors: Readonly<Record<string, boolean>>;
  readonly uplinkLagMs: number;
  readonly deliveryLagMs: number;
  /** The refusal that it reported then: it says nothing of what it is told now. */
  readonly refusal: string | null;
  readonly fencedAt: number | null;
  readonly startedAt: string | null;
  readonly restarts: number;
  /** Whether it was well at the last look: time counts for the gate between two looks that both found it so. */
  readonly isWell: boolean;
  /** It was out of reach: what is compared is taken anew with its next report. */
  readonly isStale: boolean;
  /** How much of a package it had: while that grows, a slow link is no failure. */
  readonly bytes?: number;
}

export function remember({ report, fencedAt }: SiteFacts, to: Target): SiteMemory {
  return {
    at: report?.at ?? null,
    deadLetters: report?.deadLetters ?? 0,
    connectors: Object.fromEntries((report?.connectors ?? []).map(({ name, state }) => [name, state === "up"])),
    uplinkLagMs: report?.uplinkLagMs ?? 0,
    deliveryLagMs: report?.deliveryLagMs ?? 0,
    refusal: report === null ? null : refusalText(report, to),
    fencedAt,
    startedAt: report?.startedAt ?? null,
    restarts: 0,
    isWell: false,
    isStale: false,
  };
}

/** What to compare with at this look; undefined: nothing was heard yet that is new. A start while it was out of reach is no restart. */
export function recall(memory: SiteMemory | null, facts: SiteFacts, to: Target): SiteMemory | undefined {
  const { report } = facts;
  if (report === null) return undefined;
  if (memory === null) return { ...remember(facts, to), refusal: null };
  if (memory.isStale) return report.at === memory.at ? undefined : { ...remember(facts, to), refusal: memory.refusal };
  if (memory.startedAt === null || memory.startedAt === report.startedAt) return { ...memory, startedAt: report.startedAt };
  return { ...memory, startedAt: report.startedAt, restarts: memory.restarts + 1 };
}

/** A new version takes effect by a restart, and what is told of the program before it is over: only what comes after that is chance or failure. */
export function forgiveRestart(memory: SiteMemory, to: Target): SiteMemory {
  return isVersion(to) ? { ...memory, restarts: 0 } : memory;
}

export type Health =
  | { readonly kind: "well" }
  /** It may pass: a connection that is made anew, a message that waits. */
  | { readonly kind: "unwell"; readonly reason: string }
  | { readonly kind: "unclear"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

/** How a site that runs the revision does, beside what it was when it was told. */
export function judgeHealth(report: SiteReport, memory: SiteMemory, facts: SiteFacts, limits: RolloutLimits): Health {
  const dead = deadLettersOf(report, memory);
  if (dead > limits.maxDeadLetters)
    return { kind: "failed", reason: `${count(dead, "new dead letter")}, ${limits.maxDeadLetters} allowed` };
  if (memory.restarts > limits.maxRestarts)
    return {
      kind: "failed",
      reason: `its gateway restarted ${memory.restarts === 1 ? "once" : `${memory.restarts} times`}, ${limits.maxRestarts} allowed`,
    };
  if (!facts.isCurrent) return { kind: "unwell", reason: "it calls, and has not said for some time how it is" };
  const ailing = report.connectors.find(({ name, state }) => state !== "up" && memory.connectors[name] !== false);
  if (ailing) return { kind: "unwell", reason: connectorWords(ailing, memory) };
  for (const [lag, before, what] of [
    [report.uplinkLagMs, memory.uplinkLagMs, "central"],
    [report.deliveryLagMs, memory.deliveryLagMs, "a system of the site"],
  ] as const) {
    // one that was behind before it was told is not judged by that
    if (lag > limits.maxLagMs && before <= limits.maxLagMs)
      return { kind: "unwell", reason: `a message waits for ${what} for ${Math.round(lag / 1000)} s` };
  }
  if (facts.fencedAt !== null && facts.fencedAt !== memory.fencedAt)
    return { kind: "unclear", reason: "a second gateway with its key was turned away" };
  return { kind: "well" };
}

/** New dead letters. People may discard old ones meanwhile: the gateway's own count since is better where there is one. */
export function deadLettersOf(report: SiteReport, memory: SiteMemory): number {
  return Math.max(0, report.deadLettersSince ?? report.deadLetters - memory.deadLetters);
}

function connectorWords({ name, state, reason }: SiteReport["connectors"][number], memory: SiteMemory): string {
  const before = memory.connectors[name] ? ", and was up before" : "";
  return `connector ${name} is ${state}${before}${reason ? ` (${reason})` : ""}`;
}
