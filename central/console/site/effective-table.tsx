import { Link } from "wouter";
import type { EffectiveView, ValueOrigin } from "../../http/api/sites.ts";
import { documentPath, parseReference } from "../documents/paths.ts";
import { Grid } from "../parts/grid.tsx";
import { NarrowChoice, NarrowText } from "../parts/narrow.tsx";
import { Empty } from "../parts/page.tsx";
import { plural } from "../parts/time.ts";
import { useUrlState } from "../parts/url-state.ts";
import { Value } from "../parts/value.tsx";

type Row = EffectiveView["values"][number];
const froms = [
  { value: "policy", label: "From a policy" },
  { value: "template", label: "From the template" },
  { value: "site", label: "From the site" },
  { value: "default", label: "Built-in defaults" },
] as const;

/** Each value in effect, where it comes from and what it overrode: the answer to "why is it so here?". */
export function EffectiveTable({ effective }: { readonly effective: EffectiveView }) {
  const [text, setText] = useUrlState("value");
  const [from, setFrom] = useUrlState("from");
  const wanted = text.trim().toLowerCase();
  const shown = effective.values
    .filter(
      (row) =>
        (from === "" || row.origin.from === from) &&
        (wanted === "" || `${row.path} ${row.origin.document ?? ""}`.toLowerCase().includes(wanted)),
    )
    // what somebody said comes before what nobody did
    .sort((a, b) => Number(a.origin.from === "default") - Number(b.origin.from === "default"));
  if (effective.values.length === 0) {
    return (
      <Empty>
        <p>{effective.unexplained ?? "Nothing is in effect yet. Values appear here once a change or a push reaches the site."}</p>
      </Empty>
    );
  }
  return (
    <>
      <search className="filters" aria-label="Narrow the values">
        <NarrowText name="Path or document" value={text} onChange={setText} />
        <NarrowChoice name="Origin" choices={froms} value={from} onChange={setFrom} />
        <span className="quiet" role="status">
          {shown.length === effective.values.length
            ? plural(shown.length, "value")
            : `${shown.length} of ${plural(effective.values.length, "value")}`}
        </span>
      </search>
      {shown.length === 0 ? (
        <Empty>
          <p>No value is like this.</p>
        </Empty>
      ) : (
        <Grid name={`Values in effect at ${effective.site}`} columns={["Value", "Is", "Comes from"]} look="effective">
          {shown.map((row) => (
            <ValueRow key={row.path} row={row} />
          ))}
        </Grid>
      )}
    </>
  );
}

function ValueRow({ row }: { readonly row: Row }) {
  return (
    <tr>
      <th scope="row" className="mono path">
        {row.path}
      </th>
      <td>
        <Value value={row.value} />
      </td>
      <td>
        <Origin origin={row.origin} />
        {row.overrides.length > 0 && (
          <details className="overrides">
            <summary>overrode {plural(row.overrides.length, "value")}</summary>
            <ul>
              {row.overrides.map((override) => (
                <li key={JSON.stringify(override)}>
                  <Value value={override.value} /> <Origin origin={override.origin} />
                </li>
              ))}
            </ul>
          </details>
        )}
      </td>
    </tr>
  );
}

const kinds = { policy: "a policy", template: "the template", site: "the site", default: "the built-in default" } as const;

function Origin({ origin }: { readonly origin: ValueOrigin }) {
  const document = origin.document === undefined ? undefined : parseReference(origin.document);
  return (
    <span className="origin" data-from={origin.from}>
      {document ? (
        <>
          from{" "}
          <Link href={documentPath(document.kind, document.name, origin.revision)}>
            {document.kind} {document.name}
          </Link>
          {origin.revision !== undefined && <span className="tiny"> revision {origin.revision}</span>}
        </>
      ) : (
        <>from {origin.document ?? kinds[origin.from]}</>
      )}
      {origin.because !== "" && <span className="because">, because {origin.because.replace(/^because /, "")}</span>}
    </span>
  );
}
