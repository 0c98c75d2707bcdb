import type { ValueDifference } from "../../http/api/common.ts";
import { Badge, type Look } from "./badge.tsx";
import { Grid } from "./grid.tsx";
import { Value } from "./value.tsx";

const looks: Readonly<Record<ValueDifference["kind"], Look>> = {
  added: { tone: "good", icon: "plus", word: "added" },
  removed: { tone: "bad", icon: "minus", word: "removed" },
  changed: { tone: "change", icon: "pen", word: "changed" },
};

/** Field by field, what two configurations do not share. */
export function Differences({
  differences,
  label,
}: {
  readonly differences: readonly ValueDifference[];
  readonly label: string;
}) {
  if (differences.length === 0) return <p className="quiet no-difference">Nothing differs.</p>;
  return (
    <Grid name={label} columns={["Field", "How", "Before", "After"]} look="differences" bare>
      {differences.flatMap(toLeaves).map((difference) => (
        <tr key={`${difference.path} ${difference.kind}`}>
          <th scope="row" className="mono path">
            {difference.path}
          </th>
          <td>
            <Badge look={looks[difference.kind]} small />
          </td>
          <td className="before">{difference.kind === "added" ? <None /> : <Value value={difference.before} />}</td>
          <td className="after">{difference.kind === "removed" ? <None /> : <Value value={difference.after} />}</td>
        </tr>
      ))}
    </Grid>
  );
}

/** Something that is wholly new or gone, value by value: a screenful of JSON in one cell is read by nobody. */
function toLeaves(difference: ValueDifference): ValueDifference[] {
  const { path, before, after } = difference;
  const [kind, value] = before === undefined || before === null ? (["added", after] as const) : (["removed", before] as const);
  if (before != null && after != null) return [difference];
  if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length === 0)
    return [path === "" ? difference : { ...difference, kind }];
  return Object.entries(value).flatMap(([key, inner]) =>
    toLeaves({ path: path === "" ? key : `${path}.${key}`, kind, ...(kind === "added" ? { after: inner } : { before: inner }) }),
  );
}

function None() {
  return <span className="quiet">–</span>;
}
