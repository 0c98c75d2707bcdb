import { Link } from "wouter";
import type { RolloutSummary } from "../../http/api/rollouts.ts";
import { listed, useRollouts } from "../api/configuration.ts";
import { Badge, Environment } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Notice } from "../parts/notice.tsx";
import { Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { When } from "../parts/when.tsx";
import { rolloutLooks } from "./looks.ts";
import { Tally } from "./tally.tsx";

/** What is on its way to the sites, and what was. */
export function RolloutsPage() {
  useTitle("Rollouts");
  const query = useRollouts();
  return (
    <Page>
      <PageHead title="Rollouts" />
      <Loaded query={query} what="the rollouts">
        {({ rollouts }) =>
          rollouts.length === 0 ? (
            <Notice icon="play" title="No rollouts yet">
              <p>
                A <Link href="/changes">change</Link> that is approved goes out to its sites as a rollout, wave by wave; it
                appears here as it begins.
              </p>
            </Notice>
          ) : (
            <>
              <Table rollouts={[...rollouts].sort(byUrgency)} />
              {rollouts.length >= listed && (
                <p className="tiny below">The newest {listed}; older ones are found by their number.</p>
              )}
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function Table({ rollouts }: { readonly rollouts: readonly RolloutSummary[] }) {
  return (
    <Grid name="Rollouts" columns={[{ overNumbers: "No." }, "Rollout", "State", "Environment", "Wave", "Sites", "Last"]}>
      {rollouts.map((rollout) => (
        <tr key={rollout.number}>
          <td className="num">{rollout.number}</td>
          <th scope="row">
            <Link href={`/rollouts/${rollout.number}`}>{rollout.title}</Link>
            {rollout.reason !== null && <p className="tiny row-reason">{rollout.reason}</p>}
          </th>
          <td>
            <Badge look={rolloutLooks[rollout.state]} />
          </td>
          <td>
            <Environment name={rollout.environment} />
          </td>
          <td className="num-left">
            {rollout.endedAt === null ? (
              `${rollout.wave + 1} of ${rollout.waves}`
            ) : (
              <span className="quiet">{rollout.waves}</span>
            )}
          </td>
          <td>
            <Tally counts={rollout.counts} />
            <span className="tiny">{rollout.summary}</span>
          </td>
          <td>
            <When at={rollout.endedAt ?? rollout.updatedAt} />
          </td>
        </tr>
      ))}
    </Grid>
  );
}

/** Those under way first, then the newest. */
function byUrgency(a: RolloutSummary, b: RolloutSummary): number {
  return Number(a.endedAt !== null) - Number(b.endedAt !== null) || b.number - a.number;
}
