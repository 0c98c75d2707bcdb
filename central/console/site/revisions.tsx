import { Select } from "@mantine/core";
import { Link } from "wouter";
import { type SiteRevisions, useBundleDiff, useSiteRevisions } from "../api/fleet.ts";
import { Badge } from "../parts/badge.tsx";
import { Differences } from "../parts/differences.tsx";
import { Grid } from "../parts/grid.tsx";
import { Empty, Loaded } from "../parts/page.tsx";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";

/** Every revision that the site was given, and what two of them do not share. */
export function Revisions({ site }: { readonly site: string }) {
  const query = useSiteRevisions(site);
  return (
    <Loaded query={query} what={`the revisions of ${site}`}>
      {({ revisions }) =>
        revisions.length === 0 ? (
          <Empty>
            <p>The site was given no configuration yet.</p>
          </Empty>
        ) : (
          <Compared site={site} revisions={[...revisions].sort((a, b) => b.revision - a.revision)} />
        )
      }
    </Loaded>
  );
}

type Revision = SiteRevisions["revisions"][number];

function Compared({ site, revisions }: { readonly site: string; readonly revisions: readonly Revision[] }) {
  const [askedTo, setTo] = useUrlState("to");
  const [askedFrom, setFrom] = useUrlState("compare");
  const to = askedTo || String(revisions[0]?.revision ?? "");
  const from = askedFrom || String(revisions[1]?.revision ?? "");
  const options = revisions.map(({ revision, desired }) => ({
    value: String(revision),
    label: `r${revision}${desired ? " (desired)" : ""}`,
  }));
  return (
    <div className="split">
      <section aria-label="All revisions">
        <Grid name={`Revisions of ${site}`} columns={["Revision", "Made", "Through", "Digest"]}>
          {revisions.map(({ revision, digest, createdAt, change, desired }) => (
            <tr key={revision}>
              <th scope="row">
                r{revision} {desired && <Badge small look={{ tone: "good", icon: "check", word: "desired" }} />}
              </th>
              <td>
                <When at={createdAt} />
              </td>
              <td>
                {change === null ? <span className="quiet">push</span> : <Link href={`/changes/${change}`}>Change {change}</Link>}
              </td>
              <td className="mono tiny" title={digest}>
                {digest.slice(0, 12)}
              </td>
            </tr>
          ))}
        </Grid>
      </section>
      <section aria-label="What differs">
        <div className="filters">
          <Select size="xs" label="From" data={options} value={from || null} onChange={(value) => setFrom(value ?? "")} />
          <Select size="xs" label="To" data={options} value={to || null} onChange={(value) => setTo(value ?? "")} />
        </div>
        {revisions.length < 2 ? (
          <p className="quiet">There is one revision only; nothing to compare.</p>
        ) : (
          <Diff site={site} from={from} to={to} />
        )}
      </section>
    </div>
  );
}

function Diff({ site, from, to }: { readonly site: string; readonly from: string; readonly to: string }) {
  const query = useBundleDiff(site, from, to);
  if (from === to) return <p className="quiet">Choose two revisions.</p>;
  return (
    <Loaded query={query} what="what differs" rows={2}>
      {({ differences }) => (
        <div className="card">
          <Differences differences={differences} label={`What differs between revision ${from} and ${to} of ${site}`} />
        </div>
      )}
    </Loaded>
  );
}
