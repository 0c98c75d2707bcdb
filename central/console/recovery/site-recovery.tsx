import { Link } from "wouter";
import type { SiteRecovery } from "../../http/api/recovery.ts";
import { Badge } from "../parts/badge.tsx";
import { formatCount } from "../parts/time.ts";
import { When } from "../parts/when.tsx";
import { sitePath } from "../sites/site-card.tsx";
import { laneLooks, siteLooks } from "./looks.ts";
import { RecoveryBar } from "./progress.tsx";

/** One site: each lane that lost something, and how far it is; a lane that lost nothing needs no picture. */
export function SiteRecoveryRow({ site }: { readonly site: SiteRecovery }) {
  const touched = site.lanes.filter(({ missed, state }) => missed > 0 || state === "waiting" || state === "caught-up-with-loss");
  return (
    <li className="card recovery-site" data-tone={siteLooks[site.state].tone}>
      <div className="recovery-site-head">
        <h3>
          <Link href={sitePath(site.site)}>{site.site}</Link>
        </h3>
        <Badge look={siteLooks[site.state]} />
        <span className="tiny to-the-right">
          {site.heardAt !== null ? (
            <>
              first heard since: <When at={site.heardAt} />
            </>
          ) : site.lastHeardAt !== null ? (
            <>
              last heard <When at={site.lastHeardAt} />, before
            </>
          ) : (
            "no call of it is noted in the backup"
          )}
        </span>
      </div>
      {site.state === "not-heard" && (
        <p className="quiet">
          What it has that this ledger lacks is known once its gateway calls. Is it running, and does it reach central?
        </p>
      )}
      {site.state === "no-gateway" && (
        <p className="quiet">
          No gateway ever sent for it, as far as this ledger knows. One that was enrolled since the backup is refused: enroll it
          anew.
        </p>
      )}
      {touched.length > 0 && (
        <ul className="recovery-lanes">
          {touched.map((lane) => (
            <li key={`${lane.lane}/${lane.epoch}`}>
              <span className="recovery-lane">{lane.lane}</span>
              <RecoveryBar name={`${site.site}, ${lane.lane}`} {...lane} />
              <span className="recovery-words" data-state={lane.state} title={laneLooks[lane.state].meaning}>
                {lane.reason}
              </span>
              <span className="tiny mono recovery-numbers" title="In the backup, acknowledged before, recorded now">
                {formatCount(lane.restored)} → {lane.acknowledged === null ? "?" : formatCount(lane.acknowledged)} · now{" "}
                {formatCount(lane.recorded)}
              </span>
            </li>
          ))}
        </ul>
      )}
      {touched.length === 0 && site.state === "caught-up" && <p className="quiet">It had sent nothing that the backup lacks.</p>}
      {site.revision !== null && (
        <p className="recovery-revision">
          It runs revision {site.revision.reported}; this central knows{" "}
          {site.revision.known === 0 ? "none" : `up to ${site.revision.known}`}. Push or roll out its configuration again.
        </p>
      )}
    </li>
  );
}
