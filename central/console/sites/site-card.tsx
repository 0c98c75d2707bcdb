import { useId, useState } from "react";
import { Link } from "wouter";
import type { SiteView } from "../../http/views.ts";
import { Icon } from "../parts/icon.tsx";
import { describeInstant, formatAge, formatCount } from "../parts/time.ts";
import { Alarms } from "./alarms.tsx";
import { ConditionBadge } from "./condition.tsx";
import { ConnectorSummary, Connectors } from "./connectors.tsx";
import { Lanes } from "./lanes.tsx";
import { Record } from "./record.tsx";
import { Revision } from "./revision.tsx";

/** Clocks further apart than this are worth a word (P10). */
const skewShownMs = 2000;

interface SiteCardProps {
  readonly site: SiteView;
  readonly nowMs: number;
  /** Central's clock now, as the answer's `at` and the time since tell. */
  readonly centralNowMs: number;
  readonly stale: boolean;
}

export function sitePath(name: string): string {
  return `/sites/${encodeURIComponent(name)}`;
}

/** One site; everything a person needs to judge it stands in one row. */
export function SiteCard({ site, nowMs, centralNowMs, stale }: SiteCardProps) {
  const id = useId();
  const [open, setOpen] = useState(false);
  // What a silent site said last is not what it does.
  const lastSaid = stale || site.condition === "unknown" || site.condition === "revoked";
  return (
    <article className="card site" data-condition={stale ? "stale" : site.condition} aria-labelledby={`${id}-name`}>
      <div className="site-who">
        <div className="site-title">
          <h2 id={`${id}-name`}>
            <Link href={sitePath(site.name)} className="site-link">
              {site.name}
            </Link>
          </h2>
          <ConditionBadge condition={site.condition} stale={stale} />
        </div>
        <p className="site-reason">{stale ? "Not known while central does not answer" : site.reason}</p>
        <p className="site-heard">
          <Heard site={site} centralNowMs={centralNowMs} />
        </p>
        <p className="site-labels">
          {Object.entries(site.labels).map(([key, value]) => (
            <span key={key} className="label">
              <span className="tiny">{key}</span> {value}
            </span>
          ))}
        </p>
      </div>
      <div className="site-lanes">
        <Lanes site={site} nowMs={nowMs} lastSaid={lastSaid} />
      </div>
      <div className="site-revision">
        <h3>{lastSaid ? "Configuration, last said" : "Configuration"}</h3>
        <Revision site={site} />
      </div>
      <div className="site-exceptions">
        <h3>{lastSaid ? "Exceptions, last said" : "Exceptions"}</h3>
        <Exceptions site={site} />
      </div>
      {site.alarms.length > 0 && <Alarms alarms={site.alarms} centralNowMs={centralNowMs} />}
      <Record lanes={site.lanes} />
      <div className="site-connectors">
        {site.connectors.length === 0 ? (
          <p className="quiet connector-none">No connectors reported.</p>
        ) : (
          <>
            <button
              type="button"
              className="disclosure"
              aria-expanded={open}
              aria-controls={`${id}-connectors`}
              onClick={() => setOpen(!open)}
            >
              <Icon name="chevron" size={14} className="disclosure-icon" />
              <span>{lastSaid ? "Connectors, last said" : "Connectors"}</span>
              <ConnectorSummary connectors={site.connectors} />
              {!open && <FirstTrouble site={site} />}
            </button>
            <div id={`${id}-connectors`} hidden={!open}>
              {open && <Connectors connectors={site.connectors} centralAtMs={centralNowMs} />}
            </div>
          </>
        )}
      </div>
    </article>
  );
}

function Heard({ site, centralNowMs }: { readonly site: SiteView; readonly centralNowMs: number }) {
  if (site.lastHeardAt === null) return <>Never heard of.</>;
  const leaseMs = site.leaseEndsAt === null ? null : Date.parse(site.leaseEndsAt) - centralNowMs;
  return (
    <>
      <span title={describeInstant(site.lastHeardAt)}>Heard {formatAge(centralNowMs - Date.parse(site.lastHeardAt))} ago</span>
      {leaseMs !== null && (
        <span
          title={site.leaseEndsAt === null ? undefined : describeInstant(site.leaseEndsAt)}
          data-tone={leaseMs < 0 ? "bad" : undefined}
        >
          {leaseMs < 0 ? `lease ended ${formatAge(-leaseMs)} ago` : `lease for ${formatAge(leaseMs)}`}
        </span>
      )}
    </>
  );
}

/** Why the first connector that is not up is not: the line a person would open the list for. */
function FirstTrouble({ site }: { readonly site: SiteView }) {
  const trouble =
    site.connectors.find((connector) => connector.state === "down") ??
    site.connectors.find((connector) => connector.state === "degraded");
  if (!trouble) return null;
  return (
    <span className="first-trouble">
      {trouble.name}: {trouble.reason ?? trouble.state}
    </span>
  );
}

function Exceptions({ site }: { readonly site: SiteView }) {
  const skew = site.clockSkewMs;
  const rows = [
    { word: "Dead letters", value: site.deadLetters, tone: "bad" },
    { word: "Unknown outcome", value: site.deliveries?.unknown ?? 0, tone: "bad" },
    { word: "Parked", value: site.deliveries?.parked ?? 0, tone: "bad" },
    { word: "Age unknown", value: site.deliveries?.ofUnknownAge ?? 0, tone: "bad" },
    { word: "Expired since start", value: site.deliveries?.expired ?? 0, tone: "bad" },
    { word: "Deliveries waiting", value: site.deliveries?.waiting ?? 0, tone: "busy" },
    { word: "Downlink waiting", value: site.downlinkWaiting, tone: "busy" },
  ].filter((row) => row.value > 0);
  const skewed = skew !== null && Math.abs(skew) > skewShownMs;
  if (rows.length === 0 && !skewed) {
    return (
      <p className="none">
        <Icon name="check" size={14} /> None
      </p>
    );
  }
  return (
    <dl className="exceptions">
      {rows.map((row) => (
        <div key={row.word} data-tone={row.tone}>
          <dt>{row.word}</dt>
          <dd>{formatCount(row.value)}</dd>
        </div>
      ))}
      {skewed && (
        <div data-tone="busy" title="Central's clock minus the gateway's, from its last report">
          <dt>Clock {skew > 0 ? "behind" : "ahead"}</dt>
          <dd>{formatAge(Math.abs(skew))}</dd>
        </div>
      )}
    </dl>
  );
}
