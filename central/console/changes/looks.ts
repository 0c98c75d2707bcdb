import type { ChangeState, ChangeView } from "../../http/api/changes.ts";
import type { Look } from "../parts/badge.tsx";

export const changeLooks: Readonly<Record<ChangeState, Look>> = {
  draft: { tone: "idle", icon: "pen", word: "Draft", meaning: "Being written; nobody is asked to read it yet" },
  review: { tone: "change", icon: "eye", word: "In review", meaning: "Waits for a second person" },
  approved: { tone: "busy", icon: "check", word: "Approved", meaning: "A second person agreed; its rollout has not begun" },
  "rolling-out": { tone: "busy", icon: "play", word: "Rolling out", meaning: "On its way to the sites" },
  done: { tone: "good", icon: "check", word: "Done", meaning: "In force in its environment" },
  aborted: { tone: "warn", icon: "cross", word: "Aborted", meaning: "A person stopped its rollout" },
  "rolled-back": { tone: "bad", icon: "back", word: "Rolled back", meaning: "Its sites run what they had before" },
  abandoned: { tone: "idle", icon: "minus", word: "Abandoned", meaning: "Given up before it was rolled out" },
};

/** How the list is cut: what waits for a person first. */
export const changeGroups = [
  { value: "open", label: "Open", states: ["draft", "review", "approved", "rolling-out"] },
  { value: "review", label: "To review", states: ["review"] },
  { value: "draft", label: "Drafts", states: ["draft"] },
  { value: "rolling-out", label: "Rolling out", states: ["approved", "rolling-out"] },
  { value: "done", label: "Done", states: ["done"] },
  { value: "stopped", label: "Stopped", states: ["aborted", "rolled-back", "abandoned"] },
  { value: "all", label: "All", states: null },
] as const satisfies readonly { value: string; label: string; states: readonly ChangeState[] | null }[];

export const eventWords: Readonly<Record<ChangeView["events"][number]["kind"], string>> = {
  created: "wrote the draft",
  edited: "edited it",
  submitted: "asked for review",
  withdrawn: "took it back",
  rejected: "rejected it",
  approved: "approved it",
  commented: "commented",
  abandoned: "gave it up",
  started: "started the rollout",
  ended: "rollout ended",
  reviewed: "reviewed it afterwards",
};
