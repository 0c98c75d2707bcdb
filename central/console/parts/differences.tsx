import type { ValueDifference } from "../../http/api/common.ts";
import { Badge, type Look } from "./badge.tsx";
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
    <div className="scrolled">
      <table className="grid differences">
        <caption className="visually-hidden">{label}</caption>
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">How</th>
            <th scope="col">Before</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          {differences.map((difference) => (
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
        </tbody>
      </table>
    </div>
  );
}

function None() {
  return <span className="quiet">–</span>;
}
