import { siteLooks } from "./looks.ts";
import { type RolloutSiteState, rolloutSiteStateOrder } from "./states.ts";

/** One bar for all sites, cut by state; the words beside it say the same. */
export function Tally({ counts }: { readonly counts: Readonly<Partial<Record<RolloutSiteState, number>>> }) {
  const parts = rolloutSiteStateOrder.map((state) => ({ state, count: counts[state] ?? 0 })).filter(({ count }) => count > 0);
  const words = parts.map(({ state, count }) => `${count} ${siteLooks[state].word}`).join(", ");
  return (
    <span className="tally-bar" role="img" aria-label={words === "" ? "no sites" : words} title={words}>
      {parts.map(({ state, count }) => (
        <span key={state} data-tone={siteLooks[state].tone} style={{ flexGrow: count }} />
      ))}
    </span>
  );
}
