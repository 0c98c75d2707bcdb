import type { SiteView } from "../../http/views.ts";
import { backlogSeries } from "../parts/history.ts";
import { useHistory } from "../parts/history-context.ts";
import { Sparkline } from "../parts/sparkline.tsx";
import { formatAge, formatBytes, formatCount, plural } from "../parts/time.ts";

const order = ["transaction", "bulk", "telemetry"];

/** Per lane: what waits in the gateway, how old the oldest is, and how that went in the last minutes. */
export function Lanes({
  site,
  nowMs,
  lastSaid,
}: {
  readonly site: SiteView;
  readonly nowMs: number;
  readonly lastSaid: boolean;
}) {
  const history = useHistory();
  const lanes = [...site.lanes].sort((a, b) => order.indexOf(a.lane) - order.indexOf(b.lane));
  if (lanes.length === 0) return <p className="quiet">No lane reported yet.</p>;
  return (
    <table className="lanes">
      <thead>
        <tr>
          <th scope="col">Lane</th>
          <th scope="col" className="num">
            {lastSaid ? "Last said" : "Waiting"}
          </th>
          <th scope="col" className="num">
            Lag
          </th>
          <th scope="col">Trend</th>
        </tr>
      </thead>
      <tbody>
        {lanes.map((lane) => (
          <tr key={`${lane.lane}/${lane.epoch}`} data-lane={lane.lane} data-busy={lane.waiting > 0 || undefined}>
            <th scope="row" title={`Epoch ${lane.epoch}; ${plural(lane.recorded, "message")} recorded by central`}>
              {lane.lane}
            </th>
            <td className="num" title={lane.waiting > 0 ? `${formatBytes(lane.waitingBytes)} on the gateway's disk` : undefined}>
              {lane.waiting > 0 ? formatCount(lane.waiting) : <span className="quiet">0</span>}
            </td>
            <td className="num">
              {lane.lagSeconds === null ? <span className="quiet">–</span> : formatAge(lane.lagSeconds * 1000)}
            </td>
            <td className="lane-spark">
              <Sparkline
                readings={history.readings(backlogSeries(site.name, lane.lane))}
                nowMs={nowMs}
                windowMs={history.windowMs(nowMs)}
                height={20}
                floor={20}
                label={`Waiting in ${lane.lane} over the last minutes; now ${lane.waiting}`}
              />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
