import type { SiteView } from "../../http/views.ts";
import { Icon } from "../parts/icon.tsx";
import { describeInstant, formatAge, formatCount } from "../parts/time.ts";

/** What each kind is called on a card; a kind that a newer central knows is called by its name. */
const words: Readonly<Record<string, string>> = {
  unrouted: "Unrouted",
  "epoch-changed": "New epoch",
  discarded: "Discarded",
  damaged: "Damaged",
  locked: "Locked",
  "lost-by-receiver": "Lost by central",
  clone: "Clone?",
  "ledger-damaged": "Unreadable",
  "configuration-damaged": "Configuration unreadable",
  overtaken: "Overtaken",
  "ledger-restored": "Restored",
  "downlink-set-back": "Set back",
  disk: "Disk full",
};

/** What happened at a site that a person should know of, the worst first. */
export function Alarms({ alarms, centralNowMs }: { readonly alarms: SiteView["alarms"]; readonly centralNowMs: number }) {
  return (
    <ul className="alarms" aria-label="Alarms">
      {alarms.map((alarm) => (
        <li key={`${alarm.kind} ${alarm.reason}`} data-severity={alarm.severity}>
          <span className="alarm-kind">
            <Icon name="warning" size={14} />
            {words[alarm.kind] ?? alarm.kind}
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
