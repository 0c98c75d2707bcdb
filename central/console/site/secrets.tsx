import type { EffectiveView } from "../../http/api/sites.ts";
import { useSecrets } from "../api/fleet.ts";
import { Badge } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Empty } from "../parts/page.tsx";
import { When } from "../parts/when.tsx";

/** Which secrets the site's configuration names and in which version it has them. Values are shown nowhere. */
export function SiteSecrets({ effective }: { readonly effective: EffectiveView }) {
  const { data } = useSecrets();
  if (effective.secrets.length === 0) {
    return (
      <Empty>
        <p>The site's configuration names no secret.</p>
      </Empty>
    );
  }
  return (
    <>
      <Grid name={`Secrets of ${effective.site}`} columns={["Secret", "Version", "Set", "State"]}>
        {effective.secrets.map(({ name, version, missing, paths }) => {
          const known = data?.answer.secrets.find((secret) => secret.name === name);
          const set = known?.versions.find((candidate) => candidate.version === version);
          return (
            <tr key={name}>
              <th scope="row" className="mono">
                {name}
                {paths.map((path) => (
                  <p key={path} className="tiny secret-path">
                    {path}
                  </p>
                ))}
              </th>
              <td>{version ?? <span className="quiet">–</span>}</td>
              <td>
                {set ? (
                  <>
                    <When at={set.createdAt} /> by {set.createdBy}
                  </>
                ) : (
                  <span className="quiet">–</span>
                )}
              </td>
              <td>
                <SecretState missing={missing} version={version} />
                {known?.warnings.map((warning) => (
                  <p key={warning} className="warning-line">
                    {warning}
                  </p>
                ))}
              </td>
            </tr>
          );
        })}
      </Grid>
      <p className="tiny below">
        Values are shown nowhere. Set one with <code>plantgate secret set NAME</code>; it is read from standard input.
      </p>
    </>
  );
}

function SecretState({ missing, version }: { readonly missing: boolean; readonly version: number | null }) {
  if (missing) return <Badge small look={{ tone: "bad", icon: "cross", word: "missing" }} />;
  if (version === null) return <Badge small look={{ tone: "idle", icon: "file", word: "from the gateway's own file" }} />;
  return <Badge small look={{ tone: "good", icon: "check", word: "sealed to the gateway" }} />;
}
