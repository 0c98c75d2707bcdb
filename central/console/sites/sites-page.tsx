import { Skeleton } from "@mantine/core";
import type { SitesAnswer, SiteView } from "../../http/views.ts";
import { useSites } from "../api/queries.ts";
import { Freshness, freshMs } from "../parts/freshness.tsx";
import { FailureNotice, Notice } from "../parts/notice.tsx";
import { useNow } from "../parts/now.ts";
import { Page } from "../parts/page.tsx";
import { formatTime, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { conditionOrder } from "./condition.tsx";
import { holds, type SiteFilter, SiteFilters, useSiteFilter } from "./filters.tsx";
import { Overview } from "./overview.tsx";
import { SiteCard } from "./site-card.tsx";

/** From this many sites on, a box to narrow the list is worth its place. */
const filterFrom = 3;

export function SitesPage() {
  const now = useNow();
  const { data, error } = useSites();
  const ageMs = data ? Math.max(0, now - data.receivedAtMs) : 0;
  useTitle(data ? titleOf(data.answer.sites, ageMs > freshMs) : "Sites");
  if (error && !data)
    return (
      <Page>
        <FailureNotice error={error} alone />
      </Page>
    );
  if (!data)
    return (
      <Page>
        <Loading />
      </Page>
    );
  if (data.answer.sites.length === 0) {
    return (
      <Page>
        <Notice icon="plus" title="No sites yet" alone>
          <p>
            A site appears here as soon as central knows it, and comes alive when its gateway enrolls with the token made for it.
          </p>
        </Notice>
      </Page>
    );
  }
  return (
    <Page>
      <Loaded answer={data.answer} ageMs={ageMs} now={now} error={error} />
    </Page>
  );
}

interface LoadedProps {
  readonly answer: SitesAnswer;
  readonly ageMs: number;
  readonly now: number;
  readonly error: Error | null;
}

function Loaded({ answer, ageMs, now, error }: LoadedProps) {
  const filters = useSiteFilter();
  const stale = ageMs > freshMs;
  const sites = toShown(answer.sites, filters.filter);
  const narrowed = sites.length < answer.sites.length;
  return (
    <>
      <div className="page-head">
        <h1>Sites</h1>
        <Freshness ageMs={ageMs} asOf={formatTime(answer.at, false)} error={error} />
        {(answer.sites.length >= filterFrom || narrowed) && <SiteFilters sites={answer.sites} filters={filters} />}
      </div>
      <div className="aged" data-stale={stale || undefined}>
        <Overview
          answer={answer}
          nowMs={now}
          stale={stale}
          shown={filters.filter.condition}
          onShow={(condition) => filters.setCondition(condition ?? "")}
        />
        <div className="sites">
          {sites.map((site) => (
            <SiteCard key={site.name} site={site} nowMs={now} centralNowMs={Date.parse(answer.at) + ageMs} stale={stale} />
          ))}
        </div>
        {narrowed && (
          <p className="quiet narrowed">
            {plural(answer.sites.length - sites.length, "site")} not shown.{" "}
            <button type="button" className="link" onClick={filters.clear}>
              Show all
            </button>
          </p>
        )}
      </div>
    </>
  );
}

function Loading() {
  return (
    <div role="status" aria-label="Loading the sites" className="loading">
      <Skeleton height={108} radius="md" />
      {[0, 1, 2].map((row) => (
        <Skeleton key={row} height={150} radius="md" />
      ))}
    </div>
  );
}

/** What needs a person first, then by name; a filtered condition stays filtered while sites change. */
function toShown(sites: readonly SiteView[], filter: SiteFilter): readonly SiteView[] {
  return sites
    .filter((site) => holds(site, filter))
    .sort((a, b) => conditionOrder.indexOf(a.condition) - conditionOrder.indexOf(b.condition) || a.name.localeCompare(b.name));
}

/** The tab's title tells from the corner of an eye whether something needs a person. */
function titleOf(sites: readonly SiteView[], stale: boolean): string {
  if (stale) return "No answer";
  const trouble = sites.filter((site) => ["fenced", "unknown", "stuck"].includes(site.condition)).length;
  return trouble > 0 ? `(${trouble}) Sites` : "Sites";
}
