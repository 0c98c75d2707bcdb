import type { RolloutSiteState, RolloutState, RolloutView } from "../../http/api/rollouts.ts";
import type { Look } from "../parts/badge.tsx";

export const rolloutLooks: Readonly<Record<RolloutState, Look>> = {
  queued: { tone: "idle", icon: "clock", word: "Queued", meaning: "Another rollout of its environment comes first" },
  running: { tone: "busy", icon: "play", word: "Running" },
  paused: { tone: "change", icon: "pause", word: "Paused", meaning: "No further site is told until a person resumes it" },
  "putting-back": { tone: "warn", icon: "back", word: "Putting back", meaning: "Its sites return to what they had" },
  done: { tone: "good", icon: "check", word: "Done" },
  aborted: { tone: "warn", icon: "cross", word: "Aborted", meaning: "A person stopped it; its sites run what they had before" },
  "rolled-back": { tone: "bad", icon: "back", word: "Rolled back", meaning: "It failed; its sites run what they had before" },
};

export const siteLooks: Readonly<Record<RolloutSiteState, Look>> = {
  waiting: { tone: "idle", icon: "ring", word: "waiting", meaning: "Its wave has not come" },
  told: { tone: "busy", icon: "down", word: "told", meaning: "It should run what is rolled out; it does not report it yet" },
  watching: { tone: "busy", icon: "eye", word: "watching", meaning: "In effect; its health is looked at" },
  healthy: { tone: "good", icon: "check", word: "healthy", meaning: "Its gate held" },
  pending: { tone: "lost", icon: "question", word: "out of reach", meaning: "It gets what is rolled out when it returns" },
  failed: { tone: "bad", icon: "cross", word: "failed" },
  "putting-back": { tone: "warn", icon: "back", word: "putting back" },
  "put-back": { tone: "warn", icon: "back", word: "put back", meaning: "It runs what it had before" },
};

export const waveLooks: Readonly<Record<RolloutView["plan"][number]["state"], Look>> = {
  waiting: { tone: "idle", icon: "ring", word: "waiting" },
  updating: { tone: "busy", icon: "down", word: "updating" },
  watching: { tone: "busy", icon: "eye", word: "watching" },
  passed: { tone: "good", icon: "check", word: "passed" },
  failed: { tone: "bad", icon: "cross", word: "failed" },
};

/** In a rollout that has ended: what had not come by then does not come. */
export function afterEnd(look: Look): Look {
  if (look === siteLooks.waiting) return { ...look, word: "never told", meaning: "It ended before its wave came" };
  return look === waveLooks.waiting ? { ...look, word: "never began" } : look;
}
