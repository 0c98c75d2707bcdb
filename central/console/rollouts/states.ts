import type { RolloutSiteState } from "../../http/api/rollouts.ts";

export type { RolloutSiteState };

/** From what is well to what has not begun, and what went wrong at the end. */
export const rolloutSiteStateOrder: readonly RolloutSiteState[] = [
  "healthy",
  "watching",
  "told",
  "pending",
  "waiting",
  "putting-back",
  "put-back",
  "failed",
];
