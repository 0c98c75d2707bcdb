import type { SiteView } from "../../http/views.ts";
import { describeInstant, formatAge, formatCount } from "../parts/time.ts";

type Connector = SiteView["connectors"][number];

const words: Readonly<Record<Connector["state"], string>> = {
  up: "Up",
  degraded: "Degraded",
  down: "Down",
  starting: "Starting",
  stopped: "Stopped",
};
const worstFirst: readonly Connector["state"][] = ["down", "degraded", "starting", "stopped", "up"];

/** `5 up`, `1 down · 4 up`: the worst first. */
export function ConnectorSummary({ connectors }: { readonly connectors: readonly Connector[] }) {
  return (
    <span className="connector-summary">
      {worstFirst.map((state) => {
        const count = connectors.filter((connector) => connector.state === state).length;
        return count === 0 ? null : (
          <span key={state} className="connector-count" data-state={state}>
            <span className="connector-dot" data-state={state} aria-hidden="true" />
            {formatCount(count)} {words[state].toLowerCase()}
          </span>
        );
      })}
    </span>
  );
}

/** `centralAtMs`: the moment of the answer, by central's clock, in which `since` is told. */
export function Connectors({
  connectors,
  centralAtMs,
}: {
  readonly connectors: readonly Connector[];
  readonly centralAtMs: number;
}) {
  const sorted = [...connectors].sort(
    (a, b) => worstFirst.indexOf(a.state) - worstFirst.indexOf(b.state) || a.name.localeCompare(b.name),
  );
  return (
    <table className="connectors">
      <thead>
        <tr>
          <th scope="col">Connector</th>
          <th scope="col">Kind</th>
          <th scope="col">State</th>
          <th scope="col">For</th>
          <th scope="col" className="num">
            Connects
          </th>
          <th scope="col">Reason</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((connector) => (
          <tr key={connector.name}>
            <th scope="row">{connector.name}</th>
            <td className="quiet">{connector.kind}</td>
            <td>
              <span className="connector-count" data-state={connector.state}>
                <span className="connector-dot" data-state={connector.state} aria-hidden="true" />
                {words[connector.state]}
              </span>
            </td>
            <td title={`since ${describeInstant(connector.since)}`}>{formatAge(centralAtMs - Date.parse(connector.since))}</td>
            <td className="num">{formatCount(connector.connects)}</td>
            <td className="connector-reason">{connector.reason ?? <span className="quiet">–</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
