import type { SiteCondition } from "../../http/views.ts";
import { Icon, type IconName } from "../parts/icon.tsx";

/** How bad, worst first: what needs a person stands at the top of the page. */
export const conditionOrder: readonly SiteCondition[] = ["fenced", "unknown", "stuck", "draining", "new", "online", "revoked"];

const looks: Readonly<Record<SiteCondition, { readonly icon: IconName; readonly word: string; readonly meaning: string }>> = {
  online: { icon: "check", word: "Online", meaning: "Heard of within its lease; nothing holds it up" },
  draining: { icon: "down", word: "Draining", meaning: "Connected, with a backlog that shrinks" },
  stuck: { icon: "pause", word: "Stuck", meaning: "Connected, with a backlog that does not shrink" },
  unknown: { icon: "question", word: "Unknown", meaning: "Silent for longer than its lease; nobody knows what it does" },
  fenced: { icon: "lock", word: "Fenced", meaning: "A newer session of the same site exists; a person decides" },
  revoked: { icon: "cross", word: "Revoked", meaning: "Its access was taken away" },
  new: { icon: "plus", word: "New", meaning: "Known to central, never heard of" },
};

/** Colour, icon and word say the same, so that none of them is needed alone. A stale page says what the site was. */
export function ConditionBadge({ condition, stale }: { readonly condition: SiteCondition; readonly stale: boolean }) {
  const { icon, word, meaning } = looks[condition];
  return (
    <span
      className="condition"
      data-condition={stale ? "stale" : condition}
      title={stale ? "Last known; central does not answer" : meaning}
    >
      <Icon name={stale ? "clock" : icon} size={14} />
      {stale ? `was ${word.toLowerCase()}` : word}
    </span>
  );
}

export function conditionWord(condition: SiteCondition): string {
  return looks[condition].word;
}
export function conditionIcon(condition: SiteCondition): IconName {
  return looks[condition].icon;
}
