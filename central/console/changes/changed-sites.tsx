import { useId, useState } from "react";
import { Link } from "wouter";
import type { ChangeDiff } from "../../http/api/changes.ts";
import { ProblemList } from "../documents/problems.tsx";
import { Differences } from "../parts/differences.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty } from "../parts/page.tsx";
import { plural } from "../parts/time.ts";
import { sitePath } from "../sites/site-card.tsx";

type Changed = ChangeDiff["sites"][number];

/** What each site would run, against what it should run now, field by field; sites that differ alike stand together. */
export function ChangedSites({ sites }: { readonly sites: readonly Changed[] }) {
  if (sites.length === 0) {
    return (
      <Empty>
        <p>No site of this environment runs anything of it.</p>
      </Empty>
    );
  }
  const groups = toGroups(sites);
  return (
    <div className="stack">
      {groups.map((group, index) => (
        <Group key={group.map(({ site }) => site).join(" ")} sites={group} opened={index === 0} />
      ))}
    </div>
  );
}

function Group({ sites, opened }: { readonly sites: readonly Changed[]; readonly opened: boolean }) {
  const id = useId();
  const [open, setOpen] = useState(opened);
  const [first] = sites as [Changed, ...Changed[]];
  return (
    <section className="card changed-sites" aria-labelledby={`${id}-head`}>
      <h2 id={`${id}-head`}>
        <button type="button" className="disclosure" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
          <Icon name="chevron" size={14} className="disclosure-icon" />
          <span className="changed-sites-names">{sites.map(({ site }) => site).join(", ")}</span>
          <span className="quiet">
            {first.problems.length > 0
              ? plural(first.problems.length, "problem")
              : first.differences.length === 0
                ? "nothing differs"
                : first.before === null
                  ? "its first configuration"
                  : `${plural(first.differences.length, "field")} ${first.differences.length === 1 ? "differs" : "differ"}`}
          </span>
        </button>
      </h2>
      <div id={id} hidden={!open}>
        {open && (
          <>
            {first.problems.length > 0 && (
              <div className="problems">
                <ProblemList problems={first.problems} />
              </div>
            )}
            {(first.problems.length === 0 || first.differences.length > 0) && (
              <Differences
                differences={first.differences}
                label={`What differs at ${sites.map(({ site }) => site).join(", ")}`}
              />
            )}
            <p className="tiny changed-sites-links">
              Now{" "}
              {sites.map(({ site, before }, index) => (
                <span key={site}>
                  {index > 0 && ", "}
                  <Link href={sitePath(site)}>{site}</Link> {before ? `r${before.revision}` : "none"}
                </span>
              ))}
            </p>
          </>
        )}
      </div>
    </section>
  );
}

/** Those with problems first, then those that differ, the largest group first. */
function toGroups(sites: readonly Changed[]): Changed[][] {
  const groups = new Map<string, Changed[]>();
  for (const site of sites) {
    const alike = JSON.stringify([site.before === null, site.differences, site.problems]);
    groups.set(alike, [...(groups.get(alike) ?? []), site]);
  }
  const weight = ([first]: readonly Changed[]) =>
    (first?.problems.length ?? 0) > 0 ? 2 : (first?.differences.length ?? 0) > 0 ? 1 : 0;
  return [...groups.values()].sort((a, b) => weight(b) - weight(a) || b.length - a.length);
}
