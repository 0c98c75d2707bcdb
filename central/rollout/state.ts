import type { RolloutSiteState, RolloutState } from "../http/api/rollouts.ts";
import type { SiteMemory } from "./health.ts";
import type { RolloutLimits } from "./planner.ts";
import type { Target } from "./target.ts";

/**
 * How far a rollout has come.
 *
 * It is `running` or `paused` (its sites are watched and put back all the same, but none is told and no gate passes), then `putting-back`, and
 * ends as `done`, `aborted` or `rolled-back`. Of its sites:
 *
 *     waiting → told → watching → healthy        told | watching → pending → told (when it returns)
 *     told | watching | healthy → failed → put-back       all that were told → putting-back → put-back
 */
export interface RolloutRecord {
  readonly state: RolloutState;
  readonly wave: number;
  readonly heldMs: number;
  readonly reason: string | null;
  readonly ending: "aborted" | "rolled-back" | null;
  readonly plan: RolloutPlan;
}
export interface RolloutPlan {
  readonly limits: RolloutLimits;
  /** `waived`: a person let it pass although none of its sites could be watched. */
  readonly waves: readonly { readonly title: string; readonly waived?: true }[];
}
export interface SiteRecord {
  readonly site: string;
  readonly wave: number;
  readonly from: Target;
  readonly to: Target;
  readonly state: RolloutSiteState;
  readonly reason: string | null;
  readonly inStateMs: number;
  readonly awayMs: number;
  readonly unwellMs: number;
  readonly memory: SiteMemory | null;
}
export interface RolloutEvent {
  /** Empty: the whole rollout. */
  readonly site: string;
  readonly kind: RolloutEventKind;
  readonly text: string;
}
export type RolloutEventKind =
  | "began"
  | "wave-began"
  | "told"
  | "in-effect"
  | "pending"
  | "returned"
  | "failed"
  | "gate-broke"
  | "wave-passed"
  | "added"
  | "paused"
  | "resumed"
  | "aborted"
  | "putting-back"
  | "put-back"
  | "not-back"
  | "ended";

export interface Desire {
  readonly site: string;
  readonly to: Target;
  /** Back to a version that it ran before. */
  readonly isBack?: true;
}

export const terminalStates: readonly RolloutState[] = ["done", "aborted", "rolled-back"];

export function toSiteRecord(site: Pick<SiteRecord, "site" | "from" | "to">, wave: number): SiteRecord {
  return { ...site, wave, state: "waiting", reason: null, inStateMs: 0, awayMs: 0, unwellMs: 0, memory: null };
}

/** The same site as it enters a state: what it did in the one before counts no more. */
export function entering(site: SiteRecord, state: RolloutSiteState, reason: string | null): SiteRecord {
  return { ...site, state, reason, inStateMs: 0, awayMs: 0, unwellMs: 0 };
}

const words: readonly (readonly [RolloutSiteState, string])[] = [
  ["healthy", "done"],
  ["told", "told"],
  ["watching", "watched"],
  ["pending", "pending"],
  ["failed", "failed"],
  ["putting-back", "going back"],
  ["put-back", "put back"],
  ["waiting", "waiting"],
];

/** "39 done, 1 pending"; whose wave had not come when it ended does not wait any more. */
export function summarize(sites: readonly Pick<SiteRecord, "state">[], isOver = false): string {
  const parts = words.flatMap(([state, word]) => {
    const many = sites.filter((site) => site.state === state).length;
    const said = isOver && state === "waiting" ? "never told" : word;
    return many === 0 ? [] : [`${many.toLocaleString("en-US")} ${said}`];
  });
  return parts.length === 0 ? "no site gets anything else" : parts.join(", ");
}
