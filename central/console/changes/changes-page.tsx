import { SegmentedControl } from "@mantine/core";
import { Link } from "wouter";
import { compareEnvironments } from "../../change/environments.ts";
import type { ChangeSummary } from "../../http/api/changes.ts";
import { listed, useChanges } from "../api/configuration.ts";
import { Badge, Environment } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { NarrowChoice } from "../parts/narrow.tsx";
import { Notice } from "../parts/notice.tsx";
import { Empty, Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";
import { changeGroups, changeLooks } from "./looks.ts";

/** All changes, by what is to be done with them. */
export function ChangesPage() {
  const query = useChanges();
  const waiting = query.data?.answer.changes.filter(({ state }) => state === "review").length ?? 0;
  useTitle(waiting > 0 ? `(${waiting}) Changes` : "Changes");
  return (
    <Page>
      <PageHead title="Changes" />
      <Loaded query={query} what="the changes">
        {({ changes }) =>
          changes.length === 0 ? (
            <Notice icon="pen" title="No changes yet">
              <p>
                Whatever reaches a plant begins here as a draft, is read by a second person, and goes out in waves. Write a{" "}
                <Link href="/documents">document</Link>, or send files with <code>plantgate apply -f FOLDER</code>.
              </p>
            </Notice>
          ) : (
            <List changes={changes} />
          )
        }
      </Loaded>
    </Page>
  );
}

function List({ changes }: { readonly changes: readonly ChangeSummary[] }) {
  const [asked, setAsked] = useUrlState("show");
  const [environment, setEnvironment] = useUrlState("environment");
  const group = changeGroups.find(({ value }) => value === asked) ?? changeGroups[0];
  const owed = changes.filter(({ reviewDueSince }) => reviewDueSince !== null);
  const inGroup = (states: readonly string[] | null) => changes.filter(({ state }) => states === null || states.includes(state));
  const shown = inGroup(group.states)
    .filter((change) => environment === "" || change.environment === environment)
    .sort((a, b) => b.number - a.number);
  const environments = [...new Set(changes.map((change) => change.environment))].sort(compareEnvironments);
  return (
    <>
      {owed.length > 0 && (
        <section className="owed" aria-label="Reviews that are owed">
          <Icon name="bolt" size={16} />
          <div>
            <strong>Expedited, to be reviewed afterwards:</strong>{" "}
            {owed.map((change, index) => (
              <span key={change.number}>
                {index > 0 && ", "}
                <Link href={`/changes/${change.number}`}>
                  {change.number} {change.title}
                </Link>
                {change.reviewDueSince !== null && (
                  <span className="tiny">
                    {" "}
                    since <When at={change.reviewDueSince} />
                  </span>
                )}
              </span>
            ))}
          </div>
        </section>
      )}
      <div className="filters">
        <SegmentedControl
          size="xs"
          className="groups"
          aria-label="Show"
          value={group.value}
          onChange={(value) => setAsked(value === "open" ? "" : value)}
          data={changeGroups.map(({ value, label, states }) => ({ value, label: `${label} ${inGroup(states).length}` }))}
        />
        {environments.length > 1 && (
          <NarrowChoice name="Environment" choices={environments} value={environment} onChange={setEnvironment} />
        )}
      </div>
      {shown.length === 0 ? (
        <Empty>
          <p>{group.value === "review" ? "Nothing waits for a review." : "No change is like this."}</p>
        </Empty>
      ) : (
        <Grid
          name={`Changes: ${group.label}`}
          columns={[{ overNumbers: "No." }, "Change", "State", "Environment", "Author", "Last", "Rollout"]}
        >
          {shown.map((change) => (
            <tr key={change.number}>
              <td className="num">{change.number}</td>
              <th scope="row">
                <Link href={`/changes/${change.number}`}>{change.title}</Link>
                {change.expedited && <Expedited />}
                {change.promotedFrom !== null && (
                  <span className="tiny">
                    {" "}
                    promoted from <Link href={`/changes/${change.promotedFrom}`}>{change.promotedFrom}</Link>
                  </span>
                )}
              </th>
              <td>
                <Badge look={changeLooks[change.state]} />
              </td>
              <td>
                <Environment name={change.environment} />
              </td>
              <td>{change.author}</td>
              <td>
                <When at={change.updatedAt} />
              </td>
              <td>
                {change.rollout === null ? (
                  <span className="quiet">–</span>
                ) : (
                  <Link href={`/rollouts/${change.rollout}`}>Rollout {change.rollout}</Link>
                )}
              </td>
            </tr>
          ))}
        </Grid>
      )}
      {changes.length >= listed && <p className="tiny below">The newest {listed}; older ones are found by their number.</p>}
    </>
  );
}

export function Expedited() {
  return (
    <span className="expedited" title="Skips waves and the run in test; a third person reviews it afterwards">
      <Icon name="bolt" size={12} /> expedited
    </span>
  );
}
