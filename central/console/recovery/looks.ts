import type { SiteRecovery, SiteRecoveryState } from "../../http/api/recovery.ts";
import type { Look } from "../parts/badge.tsx";

export const siteLooks: Readonly<Record<SiteRecoveryState, Look>> = {
  stuck: { tone: "bad", icon: "warning", word: "stuck", meaning: "It has something to send again, and none of it comes" },
  "not-heard": {
    tone: "lost",
    icon: "question",
    word: "not heard",
    meaning: "Its gateway has not called since; what it has is not known",
  },
  "catching-up": { tone: "busy", icon: "down", word: "catching up", meaning: "It sends again what was lost" },
  "caught-up-with-loss": {
    tone: "warn",
    icon: "cross",
    word: "caught up, with loss",
    meaning: "All that its gateway still had came again; some it had no more",
  },
  "no-gateway": {
    tone: "idle",
    icon: "question",
    word: "no gateway",
    meaning: "As far as this ledger knows it never had one; one that was enrolled since the backup is refused",
  },
  "caught-up": { tone: "good", icon: "check", word: "caught up", meaning: "Nothing of it is missing" },
};

/** What a person looks at first stands first. */
export const siteStates = Object.keys(siteLooks) as readonly SiteRecoveryState[];

type LaneRecovery = SiteRecovery["lanes"][number];

export const laneLooks: Readonly<Record<LaneRecovery["state"], Look>> = {
  ...{ stuck: siteLooks.stuck, "catching-up": siteLooks["catching-up"], "caught-up": siteLooks["caught-up"] },
  "caught-up-with-loss": siteLooks["caught-up-with-loss"],
  waiting: { tone: "idle", icon: "clock", word: "not said yet" },
};
