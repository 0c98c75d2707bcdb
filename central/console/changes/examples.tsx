import type { ChangeDiff } from "../../http/api/changes.ts";
import { Badge } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Empty } from "../parts/page.tsx";

/** What the flows' own examples came to with these documents; a failing one stands first. */
export function Examples({ examples }: { readonly examples: ChangeDiff["examples"] }) {
  if (examples.length === 0) {
    return (
      <Empty>
        <p>
          The templates of this change have no examples. A flow's <code>examples</code> hold an input and what it has to become;
          they run here at each review.
        </p>
      </Empty>
    );
  }
  return (
    <Grid name="Examples" columns={["Flow", "Given", "Result"]}>
      {[...examples]
        .sort((a, b) => Number(a.ok) - Number(b.ok))
        .map((example) => (
          <tr key={`${example.template} ${example.flow} ${example.given}`}>
            <th scope="row">
              {example.flow} <span className="tiny">of {example.template}</span>
            </th>
            <td className="mono">{example.given}</td>
            <td>
              <Badge
                small
                look={
                  example.ok
                    ? { tone: "good", icon: "check", word: "as expected" }
                    : { tone: "bad", icon: "cross", word: "differs" }
                }
              />
              {example.differences.map((line) => (
                <p key={line} className="mono example-line">
                  {line}
                </p>
              ))}
            </td>
          </tr>
        ))}
    </Grid>
  );
}
