import { environmentBefore } from "../../change/environments.ts";
import type { ChangeView } from "../../http/api/changes.ts";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { formatBytes, plural } from "../parts/time.ts";

/** What a change of a version carries: the very packages that whoever approves it says yes to. */
export function CarriedRelease({ change }: { readonly change: ChangeView }) {
  const from = environmentBefore.get(change.environment);
  return (
    <section aria-label="What it carries">
      <h2 className="section-title">Packages of {change.release}</h2>
      {change.untested !== null && (
        <p className="warning-line">
          <Icon name="warning" size={14} /> It goes to {change.environment} without having run in the environment before:{" "}
          {change.untested}
        </p>
      )}
      <Grid
        name="Packages"
        columns={["Package", "For", { overNumbers: "Size" }, from !== undefined && `Ran in ${from}`, "SHA-256"]}
      >
        {change.packages.map(({ file, platform, kind, size, sha256, ranBefore }) => (
          <tr key={file}>
            <th scope="row">{file}</th>
            <td>
              {platform} <span className="quiet">{kind}</span>
            </td>
            <td className="num">{formatBytes(size)}</td>
            {from !== undefined && (
              <td>{ranBefore === 0 ? <span className="quiet">at no site</span> : `at ${plural(ranBefore, "site")}`}</td>
            )}
            <td className="mono tiny" title={sha256}>
              {sha256.slice(0, 16)}
            </td>
          </tr>
        ))}
      </Grid>
    </section>
  );
}
