import { useId, useState } from "react";
import type { SiteView } from "../../http/views.ts";
import { Icon } from "../parts/icon.tsx";
import { formatCount } from "../parts/time.ts";

type Lane = SiteView["lanes"][number];
const order = ["transaction", "bulk", "telemetry"];
/** What a summary ends with where central's counts agree (central/ledger/completeness.ts). */
const whole = "nothing missing";

/** How complete the site's record at central is: one line, and a sentence for each lane behind it. */
export function Record({ lanes }: { readonly lanes: readonly Lane[] }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  if (lanes.length === 0) return null;
  const sorted = [...lanes].sort((a, b) => order.indexOf(a.lane) - order.indexOf(b.lane));
  const wrong = sorted.filter(({ summary }) => summary.includes("missing") && !summary.endsWith(whole));
  const holes = sorted.filter(({ summary }) => summary.split("; ").length > 2);
  const projecting = sorted.reduce((sum, lane) => sum + lane.waitingForProjection, 0);
  const [shown] = [...wrong, ...holes];
  return (
    <div className="site-record">
      <button type="button" className="disclosure" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={14} className="disclosure-icon" />
        <span>Record</span>
        <span className="record-state" data-tone={wrong.length > 0 ? "bad" : holes.length > 0 ? "change" : "good"}>
          <Icon name={wrong.length > 0 ? "cross" : holes.length > 0 ? "warning" : "check"} size={14} />
          {wrong.length > 0 ? "Incomplete" : holes.length > 0 ? "Nothing missing, with gaps of known reason" : "Nothing missing"}
        </span>
        {!open && shown && (
          <span className="first-trouble">
            {shown.lane}: {shown.summary}
          </span>
        )}
        {!open && !shown && projecting > 0 && (
          <span className="first-trouble">{formatCount(projecting)} recorded, to be made readable</span>
        )}
      </button>
      <dl id={id} className="record" hidden={!open}>
        {sorted.map((lane) => (
          <div key={`${lane.lane}/${lane.epoch}`}>
            <dt>{lane.lane}</dt>
            <dd>
              {lane.summary}
              {lane.waitingForProjection > 0 && (
                <span className="quiet"> · {formatCount(lane.waitingForProjection)} to be made readable</span>
              )}
              <span className="quiet mono"> epoch {lane.epoch}</span>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
