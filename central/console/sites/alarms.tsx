import type { SiteView } from "../../http/views.ts";
import { alarmWord } from "../alarms/words.ts";
import { Icon } from "../parts/icon.tsx";
import { describeInstant, formatAge, formatCount } from "../parts/time.ts";

/** What happened at a site that a person should know of, the worst first. */
export function Alarms({ alarms, centralNowMs }: { readonly alarms: SiteView["alarms"]; readonly centralNowMs: number }) {
  return (
    <ul className="alarms" aria-label="Alarms">
      {alarms.map((alarm) => (
        <li key={`${alarm.kind} ${alarm.reason}`} data-severity={alarm.severity}>
          <span className="alarm-kind">
            <Icon name="warning" size={14} />
            {alarmWord(alarm.kind)}
          </span>
          <span className="alarm-reason">{alarm.reason}</span>
          <span className="alarm-when" title={`first ${describeInstant(alarm.firstAt)}; last ${describeInstant(alarm.lastAt)}`}>
            {alarm.count > 1 && <span className="alarm-count">{formatCount(alarm.count)}×</span>}
            {formatAge(centralNowMs - Date.parse(alarm.lastAt))} ago
          </span>
        </li>
      ))}
    </ul>
  );
}
