import { Link } from "wouter";
import type { RolloutView } from "../../http/api/rollouts.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Icon } from "../parts/icon.tsx";
import { formatAge, plural } from "../parts/time.ts";
import { sitePath } from "../sites/site-card.tsx";
import { afterEnd, siteLooks, waveLooks } from "./looks.ts";

type WaveView = RolloutView["plan"][number];

/** A lane of sites; how long its gate has held; every site says its state by colour, sign and word. */
export function Wave({
  wave,
  current,
  ended,
}: {
  readonly wave: WaveView;
  readonly current: boolean;
  /** The whole rollout. */
  readonly ended: boolean;
}) {
  const told = (look: Look): Look => (ended ? afterEnd(look) : look);
  return (
    <li
      className="card wave"
      data-state={wave.state}
      data-current={current || undefined}
      aria-current={current ? "step" : undefined}
    >
      <div className="wave-head">
        <h2>
          <span className="tiny">Wave {wave.wave + 1}</span> {wave.title}
        </h2>
        <Badge look={told(waveLooks[wave.state])} small />
        <span className="quiet">{plural(wave.sites.length, "site")}</span>
        <Gate wave={wave} />
      </div>
      <ul className="wave-sites">
        {wave.sites.map((site) => {
          const look = told(siteLooks[site.state]);
          return (
            <li key={site.site} className="wave-site" data-tone={look.tone} data-state={site.state}>
              <p className="wave-site-name">
                <Link href={sitePath(site.site)}>{site.site}</Link>
              </p>
              <p className="wave-site-state" title={look.meaning}>
                <Icon name={look.icon} size={13} /> {look.word}
              </p>
              <p className="tiny">
                {site.toVersion === null ? (
                  <Revisions from={site.fromRevision} to={site.toRevision} reported={site.reportedRevision} />
                ) : (
                  `${site.fromVersion} → ${site.toVersion} · runs ${site.reportedVersion ?? "nothing"}${underWay(site.upgrade)}`
                )}
              </p>
              {site.reason !== null && <p className="wave-site-reason">{site.reason}</p>}
            </li>
          );
        })}
      </ul>
    </li>
  );
}

function Gate({ wave }: { readonly wave: WaveView }) {
  if (wave.state === "waiting" || wave.windowMs === 0) return null;
  const held = Math.min(wave.heldMs, wave.windowMs);
  const words =
    wave.state === "passed" ? `held ${formatAge(wave.windowMs)}` : `${formatAge(held)} of ${formatAge(wave.windowMs)} healthy`;
  return (
    <span className="gate-progress">
      <progress
        value={wave.state === "passed" ? wave.windowMs : held}
        max={wave.windowMs}
        aria-label={`Gate of wave ${wave.wave + 1}`}
      />
      <span className="tiny num-left">{words}</span>
    </span>
  );
}

/** What came of an upgrade is said by the site's state. */
function underWay(upgrade: string | null): string {
  return upgrade === "downloading" || upgrade === "handed-over" || upgrade === "trial" ? `, ${upgrade}` : "";
}

function Revisions({ from, to, reported }: { readonly from: number; readonly to: number; readonly reported: number }) {
  const runs = reported === 0 ? "runs nothing" : `runs r${reported}`;
  return (
    <>
      {from === 0 ? "none" : `r${from}`} → {to === 0 ? "–" : `r${to}`} · {runs}
    </>
  );
}
