import { Skeleton, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import type { SiteCondition, SitesAnswer, SiteView } from "../../http/views.ts";
import { useSites } from "../api/queries.ts";
import { Freshness, freshMs } from "../parts/freshness.tsx";
import { FailureNotice, Notice } from "../parts/notice.tsx";
import { useNow } from "../parts/now.ts";
import { formatTime, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { conditionOrder } from "./condition.tsx";
import { Overview } from "./overview.tsx";
import { SiteCard } from "./site-card.tsx";

/** From this many sites on, a box to narrow the list is worth its place. */
const filterFrom = 6;

export function SitesPage() {
  const now = useNow();
  const { data, error } = useSites();
  const ageMs = data ? Math.max(0, now - data.receivedAtMs) : 0;
  useTitle(data ? titleOf(data.answer.sites, ageMs > freshMs) : "Sites");
  if (error && (!data || ("status" in error && error.status === 401)))
    return (
      <Page>
        <FailureNotice error={error} />
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
        <Notice icon="plus" title="No sites yet">
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
  const [shown, setShown] = useState<SiteCondition | null>(null);
  const [text, setText] = useState("");
  const stale = ageMs > freshMs;
  const sites = toShown(answer.sites, shown, text);
  return (
    <>
      <div className="page-head">
        <h1>Sites</h1>
        <Freshness ageMs={ageMs} asOf={formatTime(answer.at, false)} error={error} />
        {answer.sites.length >= filterFrom && (
          <TextInput
            size="xs"
            className="site-filter"
            placeholder="Narrow by name or label"
            aria-label="Narrow the list by name or label"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
        )}
      </div>
      <div className="aged" data-stale={stale || undefined}>
        <Overview answer={answer} nowMs={now} stale={stale} shown={shown} onShow={setShown} />
        <div className="sites">
          {sites.map((site) => (
            <SiteCard key={site.name} site={site} nowMs={now} centralNowMs={Date.parse(answer.at) + ageMs} stale={stale} />
          ))}
        </div>
        {sites.length < answer.sites.length && (
          <p className="quiet narrowed">
            {plural(answer.sites.length - sites.length, "site")} not shown.{" "}
            <button
              type="button"
              className="link"
              onClick={() => {
                setShown(null);
                setText("");
              }}
            >
              Show all
            </button>
          </p>
        )}
      </div>
    </>
  );
}

function Page({ children }: { readonly children: ReactNode }) {
  return (
    <main id="main" className="page">
      {children}
    </main>
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
function toShown(sites: readonly SiteView[], shown: SiteCondition | null, text: string): readonly SiteView[] {
  const wanted = text.trim().toLowerCase();
  return sites
    .filter((site) => shown === null || site.condition === shown)
    .filter(
      (site) => wanted === "" || [site.name, ...Object.values(site.labels)].some((word) => word.toLowerCase().includes(wanted)),
    )
    .sort((a, b) => conditionOrder.indexOf(a.condition) - conditionOrder.indexOf(b.condition) || a.name.localeCompare(b.name));
}

/** The tab's title tells from the corner of an eye whether something needs a person. */
function titleOf(sites: readonly SiteView[], stale: boolean): string {
  if (stale) return "No answer";
  const trouble = sites.filter((site) => ["fenced", "unknown", "stuck"].includes(site.condition)).length;
  return trouble > 0 ? `(${trouble}) Sites` : "Sites";
}
