import type { SiteView } from "../../http/views.ts";
import { Icon } from "../parts/icon.tsx";

/** Which configuration the site should run and which it says it runs; one number where they agree. */
export function Revision({ site }: { readonly site: SiteView }) {
  const { desiredRevision: desired, reportedRevision: reported, configurationState: state, configurationReason: reason } = site;
  if (desired === 0 && reported === 0) return <p className="quiet">none yet</p>;
  const differs = desired !== reported;
  const tone =
    state === "refused" || state === "rolled-back"
      ? "bad"
      : differs || state === "applying" || state === "watching"
        ? "change"
        : "good";
  return (
    <div className="revision" data-tone={tone}>
      {differs ? (
        <p className="revision-pair">
          <span title="What the site says it runs">
            <span className="tiny">runs</span> <b>{reported === 0 ? "none" : `r${reported}`}</b>
          </span>
          <Icon name="chevron" size={12} />
          <span title="What the site should run">
            <span className="tiny">should run</span> <b>r{desired}</b>
          </span>
        </p>
      ) : (
        <p className="revision-pair">
          <b>r{reported}</b>
        </p>
      )}
      <p className="revision-state">{stateWord(state, differs)}</p>
      {reason !== null && <p className="revision-reason">{reason}</p>}
    </div>
  );
}

function stateWord(state: SiteView["configurationState"], differs: boolean): string {
  if (state === "refused") return "Refused by the gateway";
  if (state === "rolled-back") return "Rolled back by the gateway";
  if (state === "applying") return "Applying";
  if (state === "watching") return "In effect, watched";
  if (differs) return "Not yet reported";
  return state === "active" ? "Active, as desired" : "No configuration";
}
