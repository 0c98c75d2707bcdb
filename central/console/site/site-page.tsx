import { Tabs } from "@mantine/core";
import { Link } from "wouter";
import { useEffective } from "../api/fleet.ts";
import { useSites } from "../api/queries.ts";
import { documentPath } from "../documents/paths.ts";
import { Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { ConditionBadge } from "../sites/condition.tsx";
import { Revision } from "../sites/revision.tsx";
import { EffectiveTable } from "./effective-table.tsx";
import { Keys } from "./keys.tsx";
import { Losses } from "./losses.tsx";
import { Revisions } from "./revisions.tsx";
import { SiteSecrets } from "./secrets.tsx";
import { Shadow } from "./shadow.tsx";

const views = ["configuration", "revisions", "shadow", "secrets", "keys", "losses"] as const;
const words = {
  configuration: "Effective configuration",
  revisions: "Revisions",
  shadow: "Shadow",
  secrets: "Secrets",
  keys: "Keys",
  losses: "Losses",
} as const;

/** One site's configuration: what is in effect and where each value comes from, what was before, its secrets and keys. */
export function SitePage({ site }: { readonly site: string }) {
  useTitle(site);
  const [asked, setAsked] = useUrlState("view");
  const view = views.find((name) => name === asked) ?? "configuration";
  const sites = useSites();
  const effective = useEffective(site);
  const known = sites.data?.answer.sites.find(({ name }) => name === site);
  return (
    <Page>
      <PageHead title={site} above={<Link href="/">All sites</Link>}>
        {known && <ConditionBadge condition={known.condition} stale={sites.error !== null} />}
        {known && (
          <p className="site-labels">
            {Object.entries(known.labels).map(([key, value]) => (
              <span key={key} className="label">
                <span className="tiny">{key}</span> {value}
              </span>
            ))}
          </p>
        )}
      </PageHead>
      <section className="card site-facts" aria-label="What the site should run and runs">
        <div>
          <h3>Revision</h3>
          {known ? <Revision site={known} /> : <p className="quiet">–</p>}
        </div>
        <div>
          <h3>From documents</h3>
          <ul className="made-of">
            {effective.data?.answer.documents.map(({ kind, name, revision }) => (
              <li key={`${kind}/${name}`}>
                <Link href={documentPath(kind, name, revision)}>
                  {kind} {name}
                </Link>{" "}
                <span className="tiny">revision {revision}</span>
              </li>
            ))}
            {effective.data?.answer.documents.length === 0 && <li className="quiet">none; it was pushed directly</li>}
          </ul>
        </div>
        <div>
          <h3>Through</h3>
          {effective.data?.answer.change ? (
            <p>
              <Link href={`/changes/${effective.data.answer.change}`}>Change {effective.data.answer.change}</Link>
            </p>
          ) : (
            <p className="quiet">no change</p>
          )}
          {effective.data?.answer.digest && (
            <p className="tiny mono digest" title={effective.data.answer.digest}>
              {effective.data.answer.digest.slice(0, 19)}
            </p>
          )}
        </div>
      </section>
      <Tabs value={view} onChange={(next) => setAsked(next === "configuration" ? "" : (next ?? ""))} keepMounted={false}>
        <Tabs.List aria-label={`About ${site}`}>
          {views.map((name) => (
            <Tabs.Tab key={name} value={name}>
              {words[name]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="configuration" pt="md">
          <Loaded query={effective} what={`the configuration of ${site}`}>
            {(answer) => <EffectiveTable effective={answer} />}
          </Loaded>
        </Tabs.Panel>
        <Tabs.Panel value="revisions" pt="md">
          <Revisions site={site} />
        </Tabs.Panel>
        <Tabs.Panel value="shadow" pt="md">
          <Shadow site={site} />
        </Tabs.Panel>
        <Tabs.Panel value="secrets" pt="md">
          <Loaded query={effective} what={`the secrets of ${site}`}>
            {(answer) => <SiteSecrets effective={answer} />}
          </Loaded>
        </Tabs.Panel>
        <Tabs.Panel value="keys" pt="md">
          <Keys site={site} />
        </Tabs.Panel>
        <Tabs.Panel value="losses" pt="md">
          <Losses site={site} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
