import type { DryRunView } from "../../http/api/sites.ts";
import { Grid } from "./grid.tsx";
import { formatCount } from "./time.ts";
import { Value } from "./value.tsx";

type Flow = NonNullable<DryRunView["result"]>["flows"][number];

interface FieldDifferencesProps {
  readonly fields: Flow["fields"];
  readonly label: string;
  /** What the two sides are called. */
  readonly before: string;
  readonly after: string;
}

/** Field by field, in how many messages it differs, with one example. */
export function FieldDifferences({ fields, label, before, after }: FieldDifferencesProps) {
  if (fields.length === 0) return null;
  return (
    <Grid name={label} columns={["Field", { overNumbers: "Times" }, before, after]} look="differences" bare>
      {fields.map((field) => (
        <tr key={field.path}>
          <th scope="row" className="mono path">
            {field.path}
          </th>
          <td className="num">{formatCount(field.count)}</td>
          <td className="before">
            <Value value={field.before} />
          </td>
          <td className="after">
            <Value value={field.after} />
          </td>
        </tr>
      ))}
    </Grid>
  );
}

/** Why inputs are refused, the most frequent reason first. */
export function Refusals({ reasons }: { readonly reasons: Flow["reasons"] }) {
  if (reasons.length === 0) return null;
  return (
    <ul className="problem-list">
      {[...reasons]
        .sort((a, b) => b.count - a.count)
        .map((reason) => (
          <li key={`${reason.code} ${reason.message}`}>
            <span className="mono">{formatCount(reason.count)}×</span>
            <span>
              <b className="mono">{reason.code}</b> {reason.message}
            </span>
          </li>
        ))}
    </ul>
  );
}
