import type { ReleaseSite } from "../../http/api/releases.ts";
import type { Look } from "../parts/badge.tsx";

const looks: ReadonlyMap<string, Look> = new Map([
  ["downloading", { tone: "busy", icon: "down", word: "downloading" }],
  ["handed-over", { tone: "busy", icon: "play", word: "installing", meaning: "The machine's updater has the package" }],
  [
    "trial",
    { tone: "busy", icon: "eye", word: "on trial", meaning: "It runs; the machine goes back by itself if it is not well" },
  ],
  ["kept", { tone: "good", icon: "check", word: "kept" }],
  ["rolled-back", { tone: "bad", icon: "back", word: "gone back", meaning: "The machine runs the version before" }],
  ["refused", { tone: "bad", icon: "cross", word: "refused", meaning: "The version that runs stayed" }],
]);

const byHand: Look = {
  tone: "idle",
  icon: "question",
  word: "by hand",
  meaning: "Nothing on this machine takes packages: a person upgrades it there, and rollouts leave it alone",
};

/** Null: there is nothing to tell. */
export function upgradeLook({ version, installed, upgrade }: ReleaseSite): Look | null {
  if (version === null) return null;
  if (installed === null) return byHand;
  if (upgrade === null || upgrade.state === "none") return null;
  // a later gateway may say what is not known here
  const look = looks.get(upgrade.state) ?? { tone: "idle", icon: "question", word: upgrade.state };
  return upgrade.version ? { ...look, word: `${upgrade.version} ${look.word}` } : look;
}

const besides: Readonly<Partial<Record<NonNullable<ReleaseSite["beside"]>, Look>>> = {
  newer: {
    tone: "warn",
    icon: "warning",
    word: "newer than central",
    meaning: "It may say what this central does not know: upgrade central first",
  },
  "too-old": {
    tone: "bad",
    icon: "warning",
    word: "too old",
    meaning: "Older than any that this central was made for: upgrade it",
  },
};

/** Null: it goes with central. */
export function besideLook(beside: ReleaseSite["beside"]): Look | null {
  return beside === null ? null : (besides[beside] ?? null);
}
