import { Button } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { ReleaseSite, ReleasesAnswer, ReleaseView } from "../../http/api/releases.ts";
import { useReleases } from "../api/configuration.ts";
import { Badge, Environment } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { Empty, Loaded, Page, PageHead } from "../parts/page.tsx";
import { formatBytes, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { When } from "../parts/when.tsx";
import { sitePath } from "../sites/site-card.tsx";
import { besideLook, upgradeLook } from "./looks.ts";
import { RollOutDialog } from "./roll-out-dialog.tsx";
import { Uploads } from "./uploads.tsx";

/** Versions of gateways that central holds, and which one each site runs. */
export function ReleasesPage() {
  useTitle("Releases");
  const query = useReleases();
  const [rolling, setRolling] = useState<ReleaseView | null>(null);
  const central = query.data?.answer.central.version ?? null;
  return (
    <Page>
      <PageHead title="Releases">{central !== null && <p className="to-the-right quiet">Central runs {central}</p>}</PageHead>
      <Loaded query={query} what="the releases">
        {({ releases, sites, uploads, room }) => (
          <>
            <BesideCentral sites={sites} central={central} />
            {releases.length === 0 ? (
              <Notice icon="down" title="No releases yet">
                <p>
                  A release is a version of the gateway's program, as signed packages. Give central one with{" "}
                  <code>plantgate release add FILE</code>; it is rolled out to sites from here.
                </p>
              </Notice>
            ) : (
              <>
                <Releases releases={releases} sites={sites} onRollOut={setRolling} />
                <p className="tiny under-table">
                  Packages take {formatBytes(room.bytes)} of the {formatBytes(room.mostBytes)} that they may.
                </p>
              </>
            )}
            <Uploads uploads={uploads} />
            <h2 className="section-title">What sites run</h2>
            {sites.length === 0 ? <Empty>No sites.</Empty> : <Sites sites={sites} />}
            {rolling !== null && <RollOutDialog release={rolling} sites={sites} onClose={() => setRolling(null)} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}

/** Who is ahead of central, and who too far behind it: the order of upgrades is central first. */
function BesideCentral({ sites, central }: { readonly sites: readonly ReleaseSite[]; readonly central: string | null }) {
  const named = (which: ReleaseSite["beside"]) => sites.filter(({ beside }) => beside === which).map(({ site }) => site);
  const [newer, old] = [named("newer"), named("too-old")];
  if (newer.length + old.length === 0) return null;
  return (
    <section className="beside-central" aria-label="Versions beside central's">
      {newer.length > 0 && (
        <p className="warning-line">
          <Icon name="warning" size={14} />
          <span>
            {some(newer)} {newer.length === 1 ? "runs" : "run"} a later version than central, which runs {central}: upgrade
            central, on its own machine, by <code>plantgate upgrade FILE</code>.
          </span>
        </p>
      )}
      {old.length > 0 && (
        <p className="warning-line">
          <Icon name="warning" size={14} /> {some(old)} {old.length === 1 ? "runs" : "run"} an older version than any that this
          central was made for: upgrade {old.length === 1 ? "it" : "them"}.
        </p>
      )}
    </section>
  );
}

function some(sites: readonly string[]): string {
  return sites.length <= 3 ? sites.join(", ") : `${sites.slice(0, 2).join(", ")} and ${plural(sites.length - 2, "other site")}`;
}

function Releases({
  releases,
  sites,
  onRollOut,
}: Pick<ReleasesAnswer, "releases" | "sites"> & {
  readonly onRollOut: (release: ReleaseView) => void;
}) {
  return (
    <Grid name="Releases" columns={["Version", "Packages", "Added", "Gate held in", "Runs at", "What to do"]}>
      {releases.map((release) => (
        <tr key={release.version}>
          <th scope="row">
            {release.version} <Beside beside={release.beside} />
          </th>
          <td>
            <Packages release={release} />
          </td>
          <td>
            {release.packages[0] && <When at={release.packages[0].addedAt} />}
            <AddedBy release={release} />
          </td>
          <td>
            <Proven release={release} />
          </td>
          <td>{plural(sites.filter(({ version }) => version === release.version).length, "site")}</td>
          <td>
            <Button
              size="compact-xs"
              variant="default"
              leftSection={<Icon name="play" size={12} />}
              aria-label={`Roll out ${release.version}`}
              onClick={() => onRollOut(release)}
            >
              Roll out
            </Button>
          </td>
        </tr>
      ))}
    </Grid>
  );
}

/** Nobody approves what the key of central's data folder sent: that is no person. */
function AddedBy({ release }: { readonly release: ReleaseView }) {
  const names = [...new Set(release.packages.map(({ addedBy }) => addedBy))];
  return (
    <p className="tiny">
      by {names.join(", ")}
      {names.includes("admin-token") && (
        <span title="Where review is asked for, a person sends it too first (plantgate release add FILE…), and another one approves">
          , no person yet
        </span>
      )}
    </p>
  );
}

function Proven({ release: { ran } }: { readonly release: ReleaseView }) {
  if (ran.length === 0) return <span className="quiet">nowhere yet</span>;
  return (
    <ul className="plain-list">
      {ran.map(({ environment, sites }) => (
        <li key={environment}>
          <Environment name={environment} /> <span className="tiny">{plural(sites, "site")}</span>
        </li>
      ))}
    </ul>
  );
}

function Beside({ beside }: Pick<ReleaseSite, "beside">) {
  const look = besideLook(beside);
  return look === null ? null : <Badge look={look} small />;
}

function Packages({ release }: { readonly release: ReleaseView }) {
  return (
    <ul className="plain-list">
      {release.packages.map(({ file, platform, kind, size, sha256 }) => (
        <li key={file} className="platform" title={`${file}, SHA-256 ${sha256}`}>
          {platform} <span className="quiet">{kind}</span> <span className="tiny">{formatBytes(size)}</span>
        </li>
      ))}
    </ul>
  );
}

function Sites({ sites }: { readonly sites: readonly ReleaseSite[] }) {
  return (
    <Grid name="What sites run" columns={["Site", "Environment", "Runs", "Wanted", "Machine", "Upgrade"]}>
      {sites.map((site) => (
        <tr key={site.site}>
          <th scope="row">
            <Link href={sitePath(site.site)}>{site.site}</Link>
          </th>
          <td>{site.environment === "" ? <span className="quiet">none</span> : <Environment name={site.environment} />}</td>
          <td>
            {site.version ?? <span className="quiet">never heard</span>} <Beside beside={site.beside} />
          </td>
          <td>{site.desiredVersion ?? <span className="quiet">–</span>}</td>
          <td className="platform">
            {site.platform ?? <span className="quiet">–</span>} <span className="quiet">{site.installed ?? ""}</span>
          </td>
          <td>
            <Upgrade site={site} />
          </td>
        </tr>
      ))}
    </Grid>
  );
}

function Upgrade({ site }: { readonly site: ReleaseSite }) {
  const look = upgradeLook(site);
  if (look === null) return <span className="quiet">–</span>;
  const { upgrade } = site;
  const part =
    upgrade?.state === "downloading" && upgrade.size
      ? `${formatBytes(upgrade.bytes ?? 0)} of ${formatBytes(upgrade.size)}`
      : null;
  const said = [part, upgrade?.reason].filter(Boolean).join("; ");
  return (
    <>
      <Badge look={look} small />
      {said !== "" && <p className={`tiny upgrade-words${look.tone === "bad" ? " row-reason" : ""}`}>{said}</p>}
    </>
  );
}
